"""The style of the HTML report: one sheet, light or dark as the reader's system is, nothing fetched.

Differences are told by words and lines as well as by colour (deleted text is struck through, new text underlined). The filter
is a checkbox that the sheet looks at, so that the page needs no script.
"""

from __future__ import annotations

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The Content-Security-Policy of the page: its own style and nothing else."""

STYLE = """
:root { color-scheme: light dark;
  --ground: #ffffff; --sheet: #f6f7f9; --ink: #1c2126; --faint: #5a646e; --rule: #d7dce1; --link: #0b57a4;
  --old: #ffe3e0; --old-ink: #8a1c12; --new: #d9f2de; --new-ink: #0c5a26; --warn: #8a5200; --warn-ground: #fff0d6;
  --bad: #a3160c; --bad-ground: #ffe3e0; --good: #0c5a26; --good-ground: #d9f2de; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #14171a; --sheet: #1d2125; --ink: #e4e7ea; --faint: #9aa5af; --rule: #343b42; --link: #7db8f2;
  --old: #4a1f1b; --old-ink: #ffb4ab; --new: #12391f; --new-ink: #9fe3b2; --warn: #ffc46b; --warn-ground: #43310f;
  --bad: #ffb4ab; --bad-ground: #4a1f1b; --good: #9fe3b2; --good-ground: #12391f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1.5rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
h3 { font-size: .8rem; margin: 1rem 0 .25rem; color: var(--faint); font-weight: 600; }
header { margin: .5rem 0 1.25rem; }
p { margin: .35rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; vertical-align: top; border-bottom: 1px solid var(--rule);
  overflow-wrap: anywhere; }
th { color: var(--faint); font-weight: 600; font-size: .85rem; }
.totals td:nth-child(2), th { white-space: nowrap; } .totals td:nth-child(8) { min-width: 9rem; }
.totals td:last-child { min-width: 13rem; } .scroll td { overflow-wrap: normal; } .figures td { white-space: nowrap; }
.variants td:nth-child(n+2):nth-child(-n+4), .variants td:nth-child(even) { white-space: nowrap; }
.variants td:last-child { white-space: normal; min-width: 13rem; }
.changes { table-layout: fixed; } .changes th:first-child { width: 22%; }
.scroll { overflow-x: auto; }
.number { text-align: right; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { margin: 0; padding: .6rem .75rem; background: var(--sheet); border: 1px solid var(--rule); border-radius: 4px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.filter { display: inline-block; padding: .35rem .25rem; cursor: pointer; }
#only { width: 1.05rem; height: 1.05rem; vertical-align: -.15rem; margin: 0; }
#only:checked ~ main .fine { display: none; }
#only:focus-visible + .filter, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
details { border: 1px solid var(--rule); border-radius: 6px; margin: .4rem 0; background: var(--ground); }
summary { padding: .5rem .75rem; cursor: pointer; display: flex; gap: .6rem; align-items: baseline; flex-wrap: nowrap;
  border-radius: 6px; }
summary::before { content: "▸"; color: var(--faint); flex: none; }
details[open] > summary::before { content: "▾"; }
summary::-webkit-details-marker { display: none; }
summary .name { font-weight: 600; flex: none; max-width: 45%; overflow-wrap: anywhere; }
summary .words { color: var(--faint); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; flex: 1; }
.inside { padding: 0 .75rem .75rem; }
.badge { flex: none; padding: 0 .5rem; border-radius: 999px; font-size: .8rem; line-height: 1.6; background: var(--sheet);
  color: var(--faint); border: 1px solid var(--rule); white-space: nowrap; }
.badge.different, .badge.not_compared { background: var(--warn-ground); color: var(--warn); border-color: transparent; }
.badge.failed, .badge.only_left, .bad { background: var(--bad-ground); color: var(--bad); border-color: transparent; }
.badge.only_right, .good { background: var(--good-ground); color: var(--good); border-color: transparent; }
.sides { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: .75rem; }
@media (max-width: 46rem) { .sides { grid-template-columns: minmax(0, 1fr); } body { padding: 1rem .75rem; }
  summary { flex-wrap: wrap; } summary .name { max-width: 100%; } summary .words { flex: 1 0 100%; } }
del { background: var(--old); color: var(--old-ink); text-decoration: line-through; }
ins { background: var(--new); color: var(--new-ink); text-decoration: underline; }
.cut, .none { color: var(--faint); font-style: italic; }
.note { color: var(--faint); }
.failed-note { color: var(--bad); }
footer { margin-top: 2rem; color: var(--faint); font-size: .85rem; }
"""
