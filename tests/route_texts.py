"""A square of four streets as a file, and routes over the square."""

from __future__ import annotations

from pathlib import Path

SQUARE = """node,direction,to,x,y
a,E,b,0,0
b,W,a,100,0
b,N,c,100,0
c,S,b,100,100
c,W,d,100,100
d,E,c,0,100
d,S,a,0,100
a,N,d,0,0
"""
GOOD = "a c E N end\nb d W N end\nc a W S end\nd b S E end\n"


def saved(folder: Path, data: str | bytes, name: str = "routes.txt") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path
