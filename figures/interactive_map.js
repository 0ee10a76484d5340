"use strict";
// Coordinates: metres, x to the east, y to the south (as on the screen). An edge is a number: true ones first, then the red ones.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const stage = find("stage"), streets = find("streets"), marks = find("marks"), tip = find("tip");
  const below = streets.getContext("2d", { alpha: false }), above = marks.getContext("2d");

  // ---- the map ----
  const N = data.places.length, E = data.true.from.length, R = data.red.from.length;
  const px = new Float64Array(N), py = new Float64Array(N);
  for (let i = 0; i < N; i++) { px[i] = data.at[2 * i] / data.perMetre; py[i] = -data.at[2 * i + 1] / data.perMetre; }
  const join = (name) => Int32Array.from([...data.true[name], ...data.red[name]]);
  const from = join("from"), to = join("to"), direction = join("direction"), uses = join("uses");
  const bx = new Float64Array(E + R), by = new Float64Array(E + R); // the control point of each edge's curve; a straight one's is its middle
  for (let e = 0; e < E + R; e++) {
    bx[e] = e < E ? (px[from[e]] + px[to[e]]) / 2 : data.bend[2 * (e - E)] / data.perMetre;
    by[e] = e < E ? (py[from[e]] + py[to[e]]) / 2 : -data.bend[2 * (e - E) + 1] / data.perMetre;
  }
  const isRed = (e) => e >= E;
  const street = (e) => (e < E && data.street.length ? data.streets[data.street[e]] : "");
  const between = new Map(); // true edges by their two ends, in whatever direction
  const pair = (e) => Math.min(from[e], to[e]) * N + Math.max(from[e], to[e]);
  for (let e = 0; e < E; e++) between.set(pair(e), [...(between.get(pair(e)) || []), e]);
  const leaving = Array.from({ length: N }, () => []), crossing = Array.from({ length: N }, () => new Set());
  for (let e = 0; e < E + R; e++) {
    leaving[from[e]].push(e);
    if (street(e)) { crossing[from[e]].add(street(e)); crossing[to[e]].add(street(e)); }
  }
  const corner = (v) => [...crossing[v]].slice(0, 3).join(" & ");
  const isUsed = (e) => isRed(e) || data.used[e] === 1;
  const onceUsed = (e) => between.get(pair(e)).some(isUsed);

  const box = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  const reach = (x, y) => {
    box.x0 = Math.min(box.x0, x); box.x1 = Math.max(box.x1, x); box.y0 = Math.min(box.y0, y); box.y1 = Math.max(box.y1, y);
  };
  for (let v = 0; v < N; v++) reach(px[v], py[v]);
  for (let e = E; e < E + R; e++) reach((px[from[e]] + 2 * bx[e] + px[to[e]]) / 4, (py[from[e]] + 2 * by[e] + py[to[e]]) / 4);
  const wide = Math.max(box.x1 - box.x0, 1), high = Math.max(box.y1 - box.y0, 1);
  const lengths = Array.from({ length: E + R }, (_, e) => Math.hypot(px[to[e]] - px[from[e]], py[to[e]] - py[from[e]])).sort((a, b) => a - b);
  const typical = Math.max(lengths[(E + R) >> 1] || wide / 10, 1e-3);

  // ---- what to draw, by tiles: only those in view are stroked ----
  const tile = Math.max(wide, high) / 20;
  const layers = { unused: new Map(), used: new Map(), red: new Map() };
  for (let e = 0; e < E + R; e++) {
    if (!isRed(e) && between.get(pair(e))[0] !== e) continue; // the two directions of a street are one line
    const layer = layers[isRed(e) ? "red" : onceUsed(e) ? "used" : "unused"];
    const key = `${Math.floor(bx[e] / tile)} ${Math.floor(by[e] / tile)}`;
    if (!layer.has(key)) layer.set(key, { path: new Path2D(), edges: [], x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity });
    const t = layer.get(key);
    t.edges.push(e);
    for (const [x, y] of [[px[from[e]], py[from[e]]], [bx[e], by[e]], [px[to[e]], py[to[e]]]]) {
      t.x0 = Math.min(t.x0, x); t.x1 = Math.max(t.x1, x); t.y0 = Math.min(t.y0, y); t.y1 = Math.max(t.y1, y);
    }
    trace(t.path, e);
  }
  function trace(path, e) {
    path.moveTo(px[from[e]], py[from[e]]);
    if (isRed(e)) path.quadraticCurveTo(bx[e], by[e], px[to[e]], py[to[e]]);
    else path.lineTo(px[to[e]], py[to[e]]);
  }

  // ---- what is where, for the pointer ----
  const cell = Math.max(2 * typical, Math.max(wide, high) / 250), columns = 1 << 20;
  const cells = new Map();
  const put = (x, y, what) => {
    const key = Math.floor(y / cell) * columns + Math.floor(x / cell);
    const there = cells.get(key);
    if (!there) cells.set(key, [what]);
    else if (there[there.length - 1] !== what) there.push(what);
  };
  const along = (e, t) => [
    (1 - t) * (1 - t) * px[from[e]] + 2 * t * (1 - t) * bx[e] + t * t * px[to[e]],
    (1 - t) * (1 - t) * py[from[e]] + 2 * t * (1 - t) * by[e] + t * t * py[to[e]],
  ];
  for (let v = 0; v < N; v++) put(px[v], py[v], -1 - v); // places are negative
  for (let e = 0; e < E + R; e++) {
    const size = Math.hypot(bx[e] - px[from[e]], by[e] - py[from[e]]) + Math.hypot(px[to[e]] - bx[e], py[to[e]] - by[e]);
    const steps = Math.max(1, Math.ceil(size / cell) * 2);
    for (let k = 0; k <= steps; k++) put(...along(e, k / steps), e);
  }
  function gap(e, x, y) {
    const steps = isRed(e) ? 16 : 1;
    let best = Infinity, [ax, ay] = along(e, 0);
    for (let k = 1; k <= steps; k++) {
      const [cx, cy] = along(e, k / steps), dx = cx - ax, dy = cy - ay;
      const t = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
      best = Math.min(best, Math.hypot(ax + t * dx - x, ay + t * dy - y));
      ax = cx; ay = cy;
    }
    return best;
  }
  /** What is within `pixels` of a point on the stage: {place} or {edge} or null. Places go first, then red streets. */
  function nearest(sx, sy, pixels) {
    const x = view.x + (sx - size.width / 2) / view.scale, y = view.y + (sy - size.height / 2) / view.scale;
    const r = pixels / view.scale;
    let place = null, edge = null, closest = r, least = r, seen = new Set();
    for (let cy = Math.floor((y - r) / cell) - 1; cy <= Math.floor((y + r) / cell) + 1; cy++) {
      for (let cx = Math.floor((x - r) / cell) - 1; cx <= Math.floor((x + r) / cell) + 1; cx++) {
        for (const what of cells.get(cy * columns + cx) || []) {
          if (what < 0) {
            const d = Math.hypot(px[-1 - what] - x, py[-1 - what] - y);
            if (d <= closest) { closest = d; place = -1 - what; }
          } else if (!seen.has(what)) {
            seen.add(what);
            if (!visible(what)) continue;
            const d = gap(what, x, y) * (isRed(what) ? 0.6 : 1);
            if (d < least) { least = d; edge = what; }
          }
        }
      }
    }
    if (place !== null && showsPlaces()) return { place };
    return edge === null ? null : { edge };
  }
  const endsAt = new Map(data.ends.at.map((v, k) => [v, data.ends.rides[k]])); // place -> rides that end there and should end elsewhere
  const visible = (e) => (isRed(e) ? shown.red : shown.unused || onceUsed(e));

  // ---- the view ----
  const size = { width: 1, height: 1, ratio: 1 }, shown = { unused: true, red: true, ends: true };
  const view = { x: (box.x0 + box.x1) / 2, y: (box.y0 + box.y1) / 2, scale: 1 }; // center, and pixels per metre
  let fitted = true, hovered = null, chosen = null, flight = 0, pending = 0, stale = true, colors = {};
  const fit = () => Math.min((size.width - 24) / wide, (size.height - 24) / high, 900 / typical);
  const detail = () => Math.min((typical * view.scale) / 40, 1); // lines are thinner and arrowheads smaller where streets are short on the screen
  const showsPlaces = () => typical * view.scale > 22;
  const screen = (x, y) => [(x - view.x) * view.scale + size.width / 2, (y - view.y) * view.scale + size.height / 2];

  function look(x, y, scale) {
    view.scale = Math.max(Math.min(fit() * 0.6, 600 / typical), Math.min(scale, Math.max(900 / typical, fit())));
    view.x = Math.max(box.x0, Math.min(box.x1, x));
    view.y = Math.max(box.y0, Math.min(box.y1, y));
    fitted = false;
    redraw();
  }
  function whole() {
    stop();
    look((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2, fit());
    fitted = true;
  }
  function zoom(factor, sx = size.width / 2, sy = size.height / 2) { // the point under (sx, sy) stays there
    stop();
    const dx = sx - size.width / 2, dy = sy - size.height / 2, x = view.x + dx / view.scale, y = view.y + dy / view.scale;
    look(view.x, view.y, view.scale * factor);
    look(x - dx / view.scale, y - dy / view.scale, view.scale);
  }
  function pan(dx, dy) { stop(); look(view.x - dx / view.scale, view.y - dy / view.scale, view.scale); }
  const stop = () => { cancelAnimationFrame(flight); flight = 0; };
  function fly(x, y, scale) {
    stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) { look(x, y, scale); return; }
    const start = { ...view }, begin = performance.now();
    const step = (now) => {
      const t = Math.max(0, Math.min(1, (now - begin) / 350)), s = t * t * (3 - 2 * t);
      look(start.x + (x - start.x) * s, start.y + (y - start.y) * s, start.scale * (scale / start.scale) ** s);
      flight = t < 1 ? requestAnimationFrame(step) : 0;
    };
    flight = requestAnimationFrame(step);
  }

  // ---- drawing ----
  function redraw(streetsToo = true) {
    stale ||= streetsToo;
    pending ||= requestAnimationFrame(() => { pending = 0; if (stale) drawStreets(); drawMarks(); });
  }
  function world(context) {
    const k = view.scale * size.ratio;
    context.setTransform(k, 0, 0, k, (size.width / 2) * size.ratio - view.x * k, (size.height / 2) * size.ratio - view.y * k);
    context.lineCap = "round";
  }
  function drawStreets() {
    stale = false;
    below.setTransform(1, 0, 0, 1, 0, 0);
    below.fillStyle = colors.paper;
    below.fillRect(0, 0, streets.width, streets.height);
    world(below);
    const w = size.width / 2 / view.scale, h = size.height / 2 / view.scale, d = detail();
    const seen = (t) => t.x1 >= view.x - w && t.x0 <= view.x + w && t.y1 >= view.y - h && t.y0 <= view.y + h;
    for (const [name, width] of [["unused", 0.5 + 0.9 * d], ["used", 0.5 + 1.5 * d], ["red", 0.4 + 1.2 * d]]) {
      if (shown[name] === false) continue;
      below.strokeStyle = colors[name];
      below.lineWidth = width / view.scale;
      for (const t of layers[name].values()) if (seen(t)) below.stroke(t.path);
    }
    if (shown.red && d > 0.2) {
      const heads = new Path2D();
      for (const t of layers.red.values()) if (seen(t)) for (const e of t.edges) head(heads, e, (2 + 7 * d) / view.scale);
      below.fillStyle = colors.red;
      below.fill(heads);
    }
    if (showsPlaces()) {
      const dots = new Path2D(), r = (0.8 + 2 * d) / view.scale;
      for (let v = 0; v < N; v++) {
        if (Math.abs(px[v] - view.x) > w + r || Math.abs(py[v] - view.y) > h + r) continue;
        dots.moveTo(px[v] + r, py[v]);
        dots.arc(px[v], py[v], r, 0, 7);
      }
      below.fillStyle = colors.used;
      below.fill(dots);
    }
    if (shown.ends && endsAt.size) {
      const rings = new Path2D();
      for (const [v, rides] of endsAt) {
        const r = (Math.min(5 * Math.sqrt(rides), 16) * (0.5 + 0.5 * d)) / view.scale;
        if (Math.abs(px[v] - view.x) > w + r || Math.abs(py[v] - view.y) > h + r) continue;
        rings.moveTo(px[v] + r, py[v]);
        rings.arc(px[v], py[v], r, 0, 7);
      }
      below.strokeStyle = colors.ring;
      below.lineWidth = (1 + d) / view.scale;
      below.stroke(rings);
    }
    bar();
  }
  function head(path, e, length) {
    let dx = px[to[e]] - bx[e], dy = py[to[e]] - by[e];
    const norm = Math.hypot(dx, dy) || 1;
    dx *= length / norm; dy *= length / norm;
    const x = px[to[e]], y = py[to[e]];
    path.moveTo(x, y);
    path.lineTo(x - dx - 0.38 * dy, y - dy + 0.38 * dx);
    path.lineTo(x - dx + 0.38 * dy, y - dy - 0.38 * dx);
    path.closePath();
  }
  function drawMarks() {
    above.setTransform(1, 0, 0, 1, 0, 0);
    above.clearRect(0, 0, marks.width, marks.height);
    world(above);
    for (const what of [chosen, hovered]) {
      if (!what) continue;
      if (what.edge !== undefined) {
        const line = new Path2D();
        trace(line, what.edge);
        above.strokeStyle = colors.halo;
        above.lineWidth = 11 / view.scale;
        above.stroke(line);
        above.strokeStyle = isRed(what.edge) ? colors.red : colors.mark;
        above.lineWidth = 3 / view.scale;
        above.stroke(line);
        if (isRed(what.edge) || between.get(pair(what.edge)).length === 1) {
          const arrow = new Path2D();
          head(arrow, what.edge, 13 / view.scale);
          above.fillStyle = above.strokeStyle;
          above.fill(arrow);
        }
      }
      for (const v of what.edge !== undefined ? [from[what.edge], to[what.edge]] : [what.place]) {
        above.beginPath();
        above.arc(px[v], py[v], 6 / view.scale, 0, 7);
        above.strokeStyle = colors.mark;
        above.lineWidth = 2 / view.scale;
        above.stroke();
      }
    }
    showTip();
  }
  function bar() { // the largest of 1, 2, 5 times a power of ten that fits
    const most = Math.min(140, size.width / 4) / view.scale, power = 10 ** Math.floor(Math.log10(most));
    const metres = [5, 2, 1].find((k) => k * power <= most) * power;
    find("scale").style.width = `${metres * view.scale}px`;
    find("scale").textContent = metres >= 1000 ? `${metres / 1000} km` : `${+metres.toPrecision(1)} m`;
  }

  // ---- words; only ever as text, never as HTML ----
  const element = (tag, text, kind) => Object.assign(document.createElement(tag), { textContent: text, className: kind || "" });
  const number = (n) => n.toLocaleString("en");
  const times = (n) => (n === 1 ? "once" : `${number(n)} times`);
  const placeName = (v) => (data.osm && /^\d+$/.test(data.places[v]) ? `OpenStreetMap ${data.places[v]}` : `intersection ${data.places[v]}`);
  const way = (e) => `${data.places[from[e]]} ${data.directions[direction[e]]} → ${data.places[to[e]]}`;
  function described(e) {
    if (isRed(e)) return `${data.redWord} street, used ${times(uses[e])}`;
    if (!isUsed(e)) return "true street, unused";
    return uses[e] ? `true street, used ${times(uses[e])}` : "true street, used by rides that are not explained";
  }
  function tipLines(what) {
    const lines = [];
    if (what.place !== undefined) {
      const v = what.place;
      lines.push(element("b", corner(v) || placeName(v)));
      if (corner(v)) lines.push(element("p", placeName(v), "soft"));
      if (shown.ends && endsAt.has(v)) {
        const rides = endsAt.get(v);
        lines.push(element("p", `${number(rides)} ${rides === 1 ? "ride ends" : "rides end"} here, with ${rides === 1 ? "a destination" : "destinations"} elsewhere`, "ends"));
      }
      for (const e of [...leaving[v]].sort((a, b) => direction[a] - direction[b])) {
        if (!visible(e)) continue;
        lines.push(element("p", `${data.directions[direction[e]]} → ${data.places[to[e]]}: ${described(e)}`, isRed(e) ? "red" : isUsed(e) ? "" : "soft"));
      }
      return lines;
    }
    const e = what.edge;
    for (const k of isRed(e) ? [e] : [e, ...between.get(pair(e)).filter((other) => other !== e)]) {
      if (street(k) && (k === e || street(k) !== street(e))) lines.push(element("b", street(k)));
      lines.push(element("p", way(k)), element("p", described(k), isRed(k) ? "red" : isUsed(k) ? "" : "soft"));
    }
    if (isRed(e) && (corner(from[e]) || corner(to[e]))) lines.push(element("p", `${corner(from[e]) || "?"} → ${corner(to[e]) || "?"}`, "soft"));
    return lines;
  }
  let told = null, pointer = null;
  function showTip() {
    const what = hovered || chosen;
    tip.hidden = !what;
    if (!what) { told = null; return; }
    if (told !== what) { tip.replaceChildren(...tipLines(what)); told = what; }
    let x, y;
    if (what === hovered && pointer) [x, y] = pointer;
    else [x, y] = what.edge === undefined ? screen(px[what.place], py[what.place]) : screen(...along(what.edge, 0.5));
    if (what === chosen && what !== hovered && (x < 0 || y < 0 || x > size.width || y > size.height)) { tip.hidden = true; return; }
    const width = tip.offsetWidth, height = tip.offsetHeight, off = 14;
    const left = x + off + width <= size.width ? x + off : x - off - width, top = y + off + height <= size.height ? y + off : y - off - height;
    tip.style.transform = `translate(${Math.max(4, Math.min(left, size.width - width - 4))}px, ${Math.max(4, Math.min(top, size.height - height - 4))}px)`;
  }
  const same = (a, b) => a === b || (a && b && a.edge === b.edge && a.place === b.place);
  function hover(what) {
    if (!same(what, hovered)) hovered = what;
    redraw(false);
  }
  function choose(what) {
    chosen = what;
    for (const old of document.querySelectorAll(".list [aria-current]")) old.removeAttribute("aria-current");
    const listed = what && (what.edge !== undefined ? `#list [data-edge="${what.edge}"]` : `#ends [data-place="${what.place}"]`);
    if (listed) document.querySelector(listed)?.setAttribute("aria-current", "true");
    find("said").textContent = what ? tipLines(what).map((l) => l.textContent).join(", ") : "";
    redraw(false);
  }

  // ---- pointer, wheel, keys ----
  const held = new Map();
  let moved = 0;
  const spot = (event) => { const r = marks.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
  marks.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    marks.setPointerCapture(event.pointerId);
    if (!held.size) moved = 0;
    held.set(event.pointerId, spot(event));
    stop();
  });
  marks.addEventListener("pointermove", (event) => {
    const now = spot(event), before = held.get(event.pointerId);
    if (!before) {
      pointer = now;
      if (event.pointerType !== "touch") hover(nearest(...now, 8));
      return;
    }
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (moved < 5 && held.size === 1) return;
    marks.classList.add("dragged");
    hovered = null;
    if (held.size === 1) pan(now[0] - before[0], now[1] - before[1]);
    else {
      const other = [...held.entries()].find(([id]) => id !== event.pointerId)[1];
      const apart = (p) => Math.max(Math.hypot(p[0] - other[0], p[1] - other[1]), 1);
      pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    held.set(event.pointerId, now);
  });
  const release = (event) => {
    const was = held.delete(event.pointerId);
    if (!held.size) marks.classList.remove("dragged");
    if (!was || event.type !== "pointerup" || held.size || moved >= 5) return;
    pointer = spot(event);
    choose(nearest(...pointer, event.pointerType === "touch" ? 18 : 8));
  };
  marks.addEventListener("pointerup", release);
  marks.addEventListener("pointercancel", release);
  marks.addEventListener("pointerleave", () => { pointer = null; hover(null); });
  marks.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 400 : 1;
    zoom(Math.exp(-Math.max(-400, Math.min(400, event.deltaY * unit)) * (event.ctrlKey ? 0.01 : 0.002)), ...spot(event));
    if (pointer) hover(nearest(...pointer, 8));
  }, { passive: false });
  marks.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = Math.min(size.width, size.height) / 6;
    const act = {
      "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "_": () => zoom(1 / 1.5), "0": whole, Escape: () => choose(null),
      ArrowLeft: () => pan(step, 0), ArrowRight: () => pan(-step, 0), ArrowUp: () => pan(0, step), ArrowDown: () => pan(0, -step),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  find("in").addEventListener("click", () => zoom(1.6));
  find("out").addEventListener("click", () => zoom(1 / 1.6));
  find("all").addEventListener("click", whole);
  for (const name of ["unused", "red", "ends"]) {
    const input = find(`show-${name}`);
    if (!input) continue; // older evidence does not say where rides end
    const apply = () => {
      shown[name] = input.checked;
      hovered = null;
      if (chosen && chosen.edge !== undefined && !visible(chosen.edge)) choose(null);
      told = null;
      redraw();
    };
    input.addEventListener("change", apply);
    shown[name] = input.checked; // browsers keep the box over a reload
  }

  // ---- the list of red streets ----
  const list = find("list"), filter = find("filter"), more = find("more"), PAGE = 200;
  if (list) {
    const order = Array.from({ length: R }, (_, k) => E + k).sort((a, b) => uses[b] - uses[a] || a - b);
    const known = new Set(data.directions.map((d) => d.toLowerCase()));
    const text = new Map(order.map((e) => [e, [data.places[from[e]], data.places[to[e]], corner(from[e]), corner(to[e])].join("\n").toLowerCase()]));
    let found = order, count = 0;
    const row = (e) => {
      const item = document.createElement("li"), button = element("button", "");
      button.type = "button";
      button.dataset.edge = e;
      button.append(element("span", way(e)), element("span", `${number(uses[e])} ×`));
      if (corner(from[e]) || corner(to[e])) button.append(element("span", `${corner(from[e]) || "?"} → ${corner(to[e]) || "?"}`, "soft"));
      if (chosen && chosen.edge === e) button.setAttribute("aria-current", "true");
      item.append(button);
      return item;
    };
    const extend = () => {
      list.append(...found.slice(count, count + PAGE).map(row));
      count = Math.min(found.length, count + PAGE);
      more.hidden = count === found.length;
      more.textContent = `Show ${number(Math.min(PAGE, found.length - count))} more`;
      const all = found.length === R ? number(R) : `${number(found.length)} of ${number(R)}`;
      find("shown").textContent = count < found.length ? `${all} streets, the first ${number(count)} listed` : `${all} ${R === 1 ? "street" : "streets"}`;
    };
    const search = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean); // a direction is meant as a whole, anything else as a part
      const fits = (e, w) => (known.has(w) ? data.directions[direction[e]].toLowerCase() === w : text.get(e).includes(w));
      found = order.filter((e) => words.every((w) => fits(e, w)));
      count = 0;
      list.replaceChildren();
      list.scrollTop = 0;
      extend();
    };
    filter.addEventListener("input", search);
    more.addEventListener("click", extend);
    list.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const e = Number(button.dataset.edge);
      if (!shown.red) { find("show-red").checked = shown.red = true; redraw(); }
      hovered = null;
      choose({ edge: e });
      const w = Math.max(Math.abs(px[to[e]] - px[from[e]]), Math.abs(bx[e] - px[from[e]]), 2 * typical);
      const h = Math.max(Math.abs(py[to[e]] - py[from[e]]), Math.abs(by[e] - py[from[e]]), 2 * typical);
      fly(...along(e, 0.5), 0.45 * Math.min(size.width / w, size.height / h));
    });
    search();
  }

  // ---- the list of places where rides end elsewhere ----
  const ended = find("ends");
  if (ended) {
    for (const [v, rides] of [...endsAt].sort((a, b) => b[1] - a[1] || a[0] - b[0])) {
      const item = document.createElement("li"), button = element("button", "");
      button.type = "button";
      button.dataset.place = v;
      button.append(element("span", placeName(v)), element("span", `${number(rides)} ×`));
      if (corner(v)) button.append(element("span", corner(v), "soft"));
      item.append(button);
      ended.append(item);
    }
    ended.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const v = Number(button.dataset.place);
      if (!shown.ends) { find("show-ends").checked = shown.ends = true; redraw(); }
      hovered = null;
      choose({ place: v });
      fly(px[v], py[v], 0.2 * Math.min(size.width, size.height) / typical);
    });
  }

  // ---- start ----
  function dress() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["paper", "used", "unused", "red", "ring", "mark", "halo"]) colors[name] = style.getPropertyValue(`--${name}`).trim();
    redraw();
  }
  function resize() {
    const r = stage.getBoundingClientRect();
    Object.assign(size, { width: Math.max(r.width, 1), height: Math.max(r.height, 1), ratio: Math.min(window.devicePixelRatio || 1, 2) }); // finer is not seen, and slow
    for (const canvas of [streets, marks]) { canvas.width = Math.round(size.width * size.ratio); canvas.height = Math.round(size.height * size.ratio); }
    if (fitted) whole();
    else look(view.x, view.y, view.scale);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  new ResizeObserver(resize).observe(stage);
  dress();
  resize();
  // For whoever wants to steer the map, its tests among them: where metres east and north are on the page, and what is in view.
  window.streetMap = {
    view: () => ({ east: view.x, north: -view.y, pixelsPerMetre: view.scale, moving: flight !== 0 }),
    project: (east, north) => { const r = marks.getBoundingClientRect(), [x, y] = screen(east, -north); return [x + r.left, y + r.top]; },
    draw: drawStreets,
  };
})();
