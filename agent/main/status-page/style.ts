/** No inline styles, and no external fonts or images. Colours have a contrast of 4.5:1 in both schemes. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f5f6f8; --panel: #ffffff; --line: #dfe3e8; --soft: #edf0f3; --ink: #16202c; --dim: #566371;
  --link: #0b5cad; --accent: #2f6fb5; --good: #17753a; --good-soft: #dcf3e3; --warn: #8a5300; --warn-soft: #fdefd0;
  --bad: #b3261e; --bad-soft: #fde4e1; --idle-soft: #e6eaee; --good-fill: #2e9e58; --warn-fill: #d98c0b;
  --bad-fill: #d6453b; --idle-fill: #9aa7b4; --due: #b9d2ee; --own: #8e44ad;
  --shadow: 0 1px 2px rgb(20 30 45 / 6%), 0 1px 8px rgb(20 30 45 / 4%);
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e1319; --panel: #171e27; --line: #2a3542; --soft: #1f2833; --ink: #e4e9ef; --dim: #9ba9b8;
    --link: #7db7f5; --accent: #5d9fe6; --good: #6fd494; --good-soft: #15351f; --warn: #f0bb5c; --warn-soft: #3a2a0c;
    --bad: #ff9a91; --bad-soft: #46191a; --idle-soft: #26303c; --good-fill: #3fae69; --warn-fill: #d9951f;
    --bad-fill: #e5645a; --idle-fill: #64727f; --due: #37608f; --own: #c58be0; --shadow: none;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 4.5rem; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1, h2, h3, h4, p, ul, dl, dd, figure { margin: 0; padding: 0; }
ul { list-style: none; }
a { color: var(--link); text-underline-offset: 2px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: 1rem; top: -4rem; background: var(--panel); padding: .5rem 1rem; z-index: 9; border-radius: 6px; }
.skip:focus { top: .5rem; }
.mono, .code, .id { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .88em; }
.id { overflow-wrap: anywhere; }
.id { color: var(--ink); font-weight: 600; } .id .domain { color: var(--dim); font-weight: 400; font-size: .92em; }
.whole { white-space: nowrap; }
[data-section]:empty { display: none; }
.code { color: var(--dim); overflow-wrap: anywhere; }
.dim, .none { color: var(--dim); }
.dim { font-size: .92em; }
time { white-space: nowrap; font-variant-numeric: tabular-nums; }

.top { position: sticky; top: 0; z-index: 5; background: var(--panel); border-bottom: 1px solid var(--line); }
.top > div { max-width: 1240px; margin: auto; padding: .65rem 1.25rem; display: flex; align-items: center; gap: .25rem 1.25rem; flex-wrap: wrap; }
.brand { display: flex; align-items: center; gap: .6rem; min-width: 0; }
.brand svg { width: 26px; height: 26px; flex: none; }
.brand h1 { font-size: 1.02rem; font-weight: 650; line-height: 1.2; overflow-wrap: anywhere; }
.brand p { font-size: .8rem; color: var(--dim); line-height: 1.2; overflow-wrap: anywhere; }
.top nav { margin-left: auto; }
.top nav ul { display: flex; gap: .2rem; flex-wrap: wrap; }
.top nav a { display: block; padding: .25rem .55rem; border-radius: 6px; text-decoration: none; color: var(--ink); font-size: .9rem; }
.top nav a:hover { background: var(--soft); }
.live { font-size: .82rem; color: var(--dim); display: none; align-items: center; gap: .4rem; max-width: 22rem; }
.scripted .live { display: flex; }
.live::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: var(--idle-fill); flex: none; }
.live[data-state="live"]::before { background: var(--good-fill); }
.live[data-state="lost"] { color: var(--bad); }
.live[data-state="lost"]::before { background: var(--bad-fill); }

main { max-width: 1240px; margin: 0 auto; padding: 1.25rem; display: grid; gap: 1.25rem; grid-template-columns: minmax(0, 1fr); }
.cards { display: grid; gap: 1.25rem; grid-template-columns: repeat(4, minmax(0, 1fr)); }
.card, .block { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; box-shadow: var(--shadow); padding: 1rem 1.15rem; min-width: 0; }
.card { display: flex; flex-direction: column; gap: .55rem; }
.card h2 { font-size: .82rem; font-weight: 600; color: var(--dim); letter-spacing: .01em; }
.card .big { font-size: 1.08rem; font-weight: 600; display: flex; gap: .5rem; align-items: center; flex-wrap: wrap; }
.card .values { margin-top: auto; }
.card .sub { font-weight: 600; font-size: .95rem; }
.card p { overflow-wrap: anywhere; } .card > p:not(.big, .sub) { font-size: .92rem; }
.card .fine { color: var(--dim); }
.values { display: grid; gap: .15rem; font-size: .88rem; padding-top: .5rem; border-top: 1px solid var(--soft); }
.values div { display: flex; justify-content: space-between; gap: 1rem; }
.values dt { color: var(--dim); }
.values dd { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.values.list { border: 0; } .values.list div { justify-content: start; } .values.list dt { width: 6rem; flex: none; } .values.list dd { text-align: left; }
.reasons { display: grid; gap: .6rem; font-size: .9rem; }
.reasons li { border-left: 3px solid var(--line); padding-left: .6rem; overflow-wrap: anywhere; }

.badge { display: inline-flex; align-items: center; gap: .35em; padding: .08em .6em .1em .5em; border-radius: 99px; font-size: .82rem; font-weight: 600; white-space: nowrap; background: var(--idle-soft); color: var(--ink); }
.badge::before { content: ""; width: .55em; height: .55em; border-radius: 50%; background: var(--idle-fill); }
.badge.good { background: var(--good-soft); color: var(--good); }
.badge.good::before { background: var(--good-fill); }
.badge.warn { background: var(--warn-soft); color: var(--warn); }
.badge.warn::before { background: var(--warn-fill); border-radius: 1px; transform: rotate(45deg); }
.badge.bad { background: var(--bad-soft); color: var(--bad); }
.badge.bad::before { background: var(--bad-fill); border-radius: 1px; }
.dot { display: inline-block; width: .6rem; height: .6rem; border-radius: 2px; background: var(--idle-fill); margin-right: .4rem; }
.dot.good { background: var(--good-fill); } .dot.warn { background: var(--warn-fill); } .dot.bad { background: var(--bad-fill); }
.dot.past { background: var(--accent); } .dot.due { background: var(--due); } .dot.own { background: var(--own); }

.bar { display: block; width: 100%; height: 8px; border-radius: 4px; overflow: hidden; }
td .bar { width: 8rem; height: 6px; margin: .35rem 0 .2rem; }
.rail { fill: var(--soft); }
.fill.good, .part.good { fill: var(--good-fill); } .fill.warn, .part.warn { fill: var(--warn-fill); }
.fill.bad, .part.bad { fill: var(--bad-fill); } .part.idle { fill: var(--idle-fill); }
.mark { fill: var(--ink); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem .9rem; font-size: .85rem; }
.legend b { font-variant-numeric: tabular-nums; }

.banner { border-radius: 10px; padding: .9rem 1.15rem; background: var(--bad-soft); color: var(--ink); border: 1px solid var(--bad-fill); }
.banner h2 { font-size: 1rem; color: var(--bad); }
.block > header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; justify-content: space-between; margin-bottom: .5rem; }
.block h2 { font-size: 1.05rem; font-weight: 650; }
.block h3 { font-size: .95rem; margin: .75rem 0 .35rem; }
.block h4, details h4 { font-size: .8rem; color: var(--dim); font-weight: 600; margin: .7rem 0 .2rem; }
.count { color: var(--dim); font-size: .88rem; margin-bottom: .35rem; }
.empty { color: var(--dim); padding: .75rem 0; }

.timeline { display: block; width: 100%; height: 96px; }
.timeline .past { fill: var(--accent); } .timeline .due { fill: var(--due); }
.timeline .ground { stroke: var(--line); } .timeline .here { stroke: var(--ink); stroke-dasharray: 3 3; vector-effect: non-scaling-stroke; }
.timeline .own { stroke: var(--own); stroke-width: 2; vector-effect: non-scaling-stroke; }
.axis { display: flex; justify-content: space-between; font-size: .78rem; color: var(--dim); font-variant-numeric: tabular-nums; padding-top: .25rem; }
.axis span { flex: 1; text-align: center; } .axis span:first-child { text-align: left; } .axis span:last-child { text-align: right; }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .25rem 1.5rem; font-size: .88rem; margin-top: .5rem; }
.key .dot { margin: 0 .35rem 0 .8rem; } .key .dot:first-child { margin-left: 0; } .key { color: var(--dim); }

.filter { display: flex; gap: .5rem; flex-wrap: wrap; }
.filter input, .filter select, .filter button { font: inherit; font-size: .9rem; color: var(--ink); background: var(--panel); border: 1px solid var(--line); border-radius: 7px; padding: .3rem .6rem; height: 2.1rem; }
.filter input { width: 15rem; max-width: 100%; }
.filter input::placeholder { color: var(--dim); opacity: 1; }
.filter button { cursor: pointer; background: var(--soft); }
.scripted .filter button { display: none; }

table { width: 100%; border-collapse: collapse; font-size: .9rem; }
th { text-align: left; font-size: .8rem; font-weight: 600; color: var(--dim); padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td { padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--soft); vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; }
td.ids { min-width: 13rem; max-width: 26rem; } td.why { min-width: 14rem; overflow-wrap: anywhere; } td.what { overflow-wrap: anywhere; width: 70%; }
td.more { width: 1%; }
p.why { font-size: .92em; overflow-wrap: anywhere; }
.chips { display: flex; flex-wrap: wrap; gap: .25rem; }
.chips li { background: var(--soft); border-radius: 5px; padding: .05rem .4rem; font: .8rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.chips b { font-weight: 600; }
summary { cursor: pointer; color: var(--link); white-space: nowrap; }
details[open] { min-width: 17rem; }
.pager { display: flex; gap: 1rem; align-items: center; justify-content: flex-end; padding-top: .75rem; font-size: .9rem; font-variant-numeric: tabular-nums; }
.pager a, .pager .off { padding: .25rem .7rem; border: 1px solid var(--line); border-radius: 7px; text-decoration: none; }
.pager .off { color: var(--dim); border-color: var(--soft); }
.two { display: grid; gap: 1.25rem; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); align-items: start; }
.back { font-size: .92rem; }
footer { max-width: 1240px; margin: 0 auto; padding: 0 1.25rem 2rem; color: var(--dim); font-size: .85rem; }

@media (max-width: 1080px) { .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); } .two { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 760px) {
  .cards { grid-template-columns: minmax(0, 1fr); }
  main { padding: .85rem; gap: .85rem; } .cards, .two { gap: .85rem; }
  .top > div { padding: .6rem .85rem; } .top nav { margin-left: 0; width: 100%; overflow-x: auto; } .top nav ul { flex-wrap: nowrap; }
  .top { position: static; }
  .filter, .filter label:first-child, .filter input { width: 100%; }
  table, tbody, tr, td { display: block; width: 100%; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { border: 1px solid var(--line); border-radius: 8px; padding: .35rem .75rem; margin-bottom: .6rem; }
  td, td.ids, td.why, td.what, td.more { display: grid; grid-template-columns: 6.5rem minmax(0, 1fr); gap: .75rem; padding: .3rem 0; border: 0; min-width: 0; max-width: none; width: 100%; }
  td::before { content: attr(data-title); color: var(--dim); font-size: .82rem; padding-top: .1rem; }
  details[open] { min-width: 0; }
  .pager { justify-content: space-between; gap: .5rem; }
}
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
@media (forced-colors: active) { .badge, .card, .block { border: 1px solid; } .fill, .part, .timeline rect { forced-color-adjust: none; } }
@media print { .top { position: static; } .filter, .pager, .live { display: none !important; } }
`

/** Two interlocked rings. */
export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 26 26"><rect width="26" height="26" rx="7" fill="#2f6fb5"/><circle cx="10.5" cy="13" r="4.8" fill="none" stroke="#fff" stroke-width="2.2"/><circle cx="15.5" cy="13" r="4.8" fill="none" stroke="#fff" stroke-width="2.2" stroke-opacity=".75"/></svg>`
