"""How the page looks: one column on a phone, two on a desk, plain on paper."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light; --ink: #1c2733; --soft: #5b6774; --line: #dfe4ea; --page: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 8px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 8px; }
p { margin: 0 0 10px; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
section, header { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 16px; margin: 0 0 16px; }
.badge { display: inline-block; border-radius: 999px; padding: 2px 14px; font-weight: 600; color: #fff; }
.strong, .pass { background: #1e7d4f; } .usable { background: #2f5fa8; }
.preliminary, .not-known, .warn { background: #9a6700; } .not-usable, .block { background: #b3261e; }
.figures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 10px; margin: 12px 0 0; }
.figure { border: 1px solid var(--line); border-radius: 8px; padding: 8px 10px; }
.figure b { display: block; font-size: 1.35rem; line-height: 1.25; }
.figure span { color: var(--soft); font-size: .85rem; }
figure { margin: 8px 0 0; } figure svg { width: 100%; height: auto; max-width: 460px; display: block; }
.pair { display: grid; grid-template-columns: minmax(0, 1fr); gap: 12px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption { text-align: left; padding-bottom: 6px; }
th, td { text-align: right; padding: 5px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; }
tr.all td { font-weight: 600; border-top: 2px solid var(--line); }
.date { white-space: nowrap; }
td small { display: block; color: var(--soft); }
code { font-size: .88em; overflow-wrap: anywhere; }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--soft); }
ul { margin: 0; padding-left: 20px; } li { overflow-wrap: anywhere; }
@media (max-width: 480px) {
  main { padding: 10px; } section, header { padding: 12px; }
  table { font-size: .85rem; } th, td { padding: 5px 3px; }
}
@media (min-width: 760px) {
  .figures { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .pair { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@media print { body { background: #fff; } section, header { break-inside: avoid; } }
"""
