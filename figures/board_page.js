"use strict";
// Without this script the page shows every row, column and panel. The script closes the panels, and sorts, filters and hides.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const panelOf = (row) => row.nextElementSibling;

  // Panels

  const open = (row, yes) => {
    panelOf(row).hidden = !yes;
    row.querySelector(".open").setAttribute("aria-expanded", String(yes));
  };
  for (const row of all("tr.row")) {
    open(row, false);
    row.querySelector(".open").addEventListener("click", () => open(row, panelOf(row).hidden));
  }

  // Sorting: missing scores come last in either direction

  const infinite = { inf: Infinity, "-inf": -Infinity };
  const number = (text) => (text in infinite ? infinite[text] : Number(text));
  const compare = (a, b, numeric) => {
    if (!numeric) return a < b ? -1 : a > b ? 1 : 0;
    return number(a) < number(b) ? -1 : number(a) > number(b) ? 1 : 0;
  };
  const sort = (head) => {
    const table = head.closest("table"), body = table.tBodies[0], place = [...head.parentElement.children].indexOf(head);
    const numeric = "col" in head.dataset;
    const first = head.dataset.better === "higher" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const direction = head.getAttribute("aria-sort") === first ? other : first;
    for (const mark of all("[aria-sort]", table)) mark.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const value = (row) => row.children[place].dataset.v;
    const rows = all("tr.row", body).map((row) => [row, panelOf(row), value(row)]);
    rows.sort(([, , a], [, , b]) => {
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return sign * compare(a, b, numeric);
    });
    for (const [row, panel] of rows) body.append(row, panel);
  };
  for (const head of all("thead th")) head.querySelector("button").addEventListener("click", () => sort(head));

  // Filter

  const filter = byId("filter"), references = byId("references"), shown = byId("shown");
  const words = new Map();
  for (const row of all("tr.row")) {
    const names = all(".name, .naming", row).map((cell) => cell.dataset.v);
    words.set(row, [row.closest("section").dataset.words, ...names].join("\n").toLowerCase());
  }
  const apply = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const section of all("main section")) {
      let some = false;
      for (const row of all("tr.row", section)) {
        const fits = wanted.every((word) => words.get(row).includes(word));
        row.hidden = !fits || (!references.checked && row.classList.contains("reference"));
        if (row.hidden) open(row, false);
        else count += 1;
        some = some || !row.hidden;
      }
      section.hidden = !some;
    }
    shown.textContent = `${count} of ${words.size} rows`;
  };
  filter.addEventListener("input", apply);
  references.addEventListener("change", apply);

  // Columns

  const boxes = all("#choose input[data-col]");
  const cells = new Map(boxes.map((box) => [box.dataset.col, []]));
  for (const cell of all("main [data-col]")) cells.get(cell.dataset.col).push(cell);
  const show = (box) => {
    for (const cell of cells.get(box.dataset.col)) cell.hidden = !box.checked;
  };
  for (const box of boxes) box.addEventListener("change", () => show(box));
  for (const [id, checked] of [["all", true], ["none", false]]) {
    byId(id).addEventListener("click", () => {
      for (const box of boxes) {
        box.checked = checked;
        show(box);
      }
    });
  }
  document.addEventListener("click", (event) => {
    if (!byId("choose").contains(event.target)) byId("choose").open = false;
  });

  // Colors

  const themes = ["system", "light", "dark"], theme = byId("theme");
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % 3];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    theme.textContent = `Colors: ${next}`;
    theme.setAttribute("aria-label", `Colors: ${next === "system" ? "as the system" : next}`);
  });

  byId("tools").hidden = false;
  apply();
})();
