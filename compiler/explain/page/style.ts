/**
 * The look of the page: one sheet, light and dark by the reader's setting, columns from 1000 px on.
 *
 * Colours are few: ink, two greys, one accent for what can be chosen, one warm colour for what is more than it need be. All text has a
 * contrast of 4.5 or more on its ground.
 */
export const style = `
:root {
  --ground: #fbfbf9; --card: #ffffff; --ink: #1d2126; --soft: #59616b; --line: #e3e4e0; --wash: #f2f3ef;
  --accent: #0b6170; --tint: #dcedf0; --warm: #96520a; --warm-tint: #fbead2;
  --comment: #6a6f66; --text: #6b4a12; --word: #234f8e; --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15181b; --card: #1b1f23; --ink: #e4e6e3; --soft: #a2aab2; --line: #30363c; --wash: #22272c;
    --accent: #6fc6d4; --tint: #17393f; --warm: #e9ac62; --warm-tint: #45321a;
    --comment: #949c92; --text: #d9b679; --word: #93b9ee;
  }
}
* { box-sizing: border-box }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif }
a { color: var(--accent) }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px }
h1, h2, h3, h4, p, dl, dd, pre, figure { margin: 0 }
h1 { font: 600 1.6rem/1.25 var(--mono); letter-spacing: -.02em; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; font-weight: 650; margin-bottom: .35rem }
h3 { font-size: .95rem; font-weight: 650; margin: 1.4rem 0 .45rem }
h4 { font-size: .8rem; font-weight: 600; color: var(--soft); margin: .5rem 0 .25rem }
h3 small { font-weight: 400; color: var(--soft); font-size: .85rem; margin-left: .35rem }
small { font-size: .8em; color: var(--soft) }
code, pre { font-family: var(--mono) }
button { font: inherit; font-size: .85rem; color: var(--accent); background: none; border: 1px solid currentColor; border-radius: 6px; padding: .15rem .6rem; cursor: pointer }
.skip { position: absolute; left: -99rem } .skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; z-index: 3 }

header { max-width: 1680px; margin: 0 auto; padding: 2rem 1.25rem 1.25rem }
.eyebrow { font-size: .8rem; color: var(--soft); margin-bottom: .25rem }
.lead { max-width: 46rem; margin-top: .6rem; color: var(--ink) }
.totals { display: flex; flex-wrap: wrap; gap: 1px; margin-top: 1.5rem; background: var(--line); border: 1px solid var(--line); border-radius: 10px; overflow: hidden }
.total { flex: 1 1 22rem; background: var(--card); padding: .9rem 1rem 1rem }
.total dt { font-size: .8rem; color: var(--soft) }
.total .value { font-size: 1.4rem; font-weight: 620; letter-spacing: -.01em; font-variant-numeric: tabular-nums; line-height: 1.35 }
.total .meaning { font-size: .85rem; color: var(--soft); line-height: 1.45; margin-top: .3rem }
.gauge { height: 4px; max-width: 16rem; margin: .3rem 0 .1rem; background: var(--tint); border-radius: 2px; overflow: hidden }
.gauge span { display: block; height: 100%; background: var(--accent) } .gauge.high { background: var(--warm) }

.switch { max-width: 1680px; margin: 0 auto; padding: 0 1.25rem 1rem; border: 0; display: flex; flex-wrap: wrap; gap: .5rem }
.switch legend { float: left; margin-right: .25rem; font-size: .85rem; color: var(--soft); padding: .35rem 0 }
.switch label { position: relative; cursor: pointer }
.switch input { position: absolute; opacity: 0; inset: 0; margin: 0; cursor: pointer }
.switch span { display: block; padding: .35rem .8rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); font-size: .88rem }
.switch input:checked + span { background: var(--tint); border-color: var(--accent); color: var(--accent) }
.switch input:focus-visible + span { outline: 2px solid var(--accent); outline-offset: 2px }
body:has(#entry-0:checked) .of-1:not(.of-0), body:has(#entry-1:checked) .of-0:not(.of-1) { display: none }

.columns { max-width: 1680px; margin: 0 auto; padding: 0 1.25rem 4rem; display: grid; gap: 1.5rem 2rem; grid-template-columns: minmax(0, 1fr) }
main > section + section { margin-top: 2.5rem }
main > section > p, .caption { font-size: .88rem; color: var(--soft); max-width: 60rem }
.source .caption { margin-bottom: .5rem }
.listing { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .5rem 0; font: 12.5px/1.6 var(--mono); overflow: auto; max-height: 60vh }
.line { display: flex; align-items: baseline; width: max-content; min-width: 100%; scroll-margin: 4rem }
.line .no { flex: none; width: 3.4em; padding-right: 1em; text-align: right; color: var(--soft); text-decoration: none; user-select: none; position: sticky; left: 0; background: var(--card) }
.line code { white-space: pre; flex: auto; padding-right: 1rem; tab-size: 2 }
.line.linked { cursor: pointer } .line.linked .no { color: var(--accent); font-weight: 600 }
.line.linked:hover, .line.linked:hover .no { background: var(--wash) }
.line.on, .line.on .no { background: var(--tint) !important }
.line i { font-style: normal } .line .comment { color: var(--comment) } .line .text { color: var(--text) } .line .word { color: var(--word) } .line i.number { color: var(--text) }
.chips { flex: none; position: sticky; right: 0; display: flex; gap: .2rem; background: var(--card); padding: 0 .5rem }
.line:hover .chips { background: var(--wash) } .line.on .chips { background: var(--tint) }
.chip { font: 600 .72rem/1.5 var(--mono); padding: 0 .35rem; border-radius: 5px; background: var(--tint); color: var(--accent); text-decoration: none; white-space: nowrap }
.line.on .chip { background: var(--card) } .chip.many { font-weight: 500 } a.chip:hover { text-decoration: underline }
.source details { margin-top: .6rem } .source summary { cursor: pointer; font: .85rem var(--mono); color: var(--soft); padding: .2rem 0 }

#chosen { position: sticky; top: 0; z-index: 2; background: var(--tint); border: 1px solid var(--accent); border-radius: 10px; padding: .7rem .9rem; font-size: .9rem; margin-bottom: 1.5rem }
#chosen pre { margin-top: .5rem; max-height: 12rem; background: var(--card) }
.off, .part:not(:has(.launch:not(.off))) { display: none !important }

table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: baseline; white-space: nowrap; font-weight: 400 }
thead th { color: var(--soft); font-size: .76rem; border-bottom-color: var(--soft) }
th:first-child, td.what, th.what { text-align: left } th[scope="row"] a { font: 600 .82rem var(--mono) }
td.what { width: 99%; max-width: 0; overflow: hidden }
.part { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .2rem .6rem .6rem; margin-top: .8rem }
.part h3 { margin: .6rem .6rem .3rem } .part tr:last-child > * { border-bottom: 0 }
.at { display: block; color: inherit; text-decoration: none; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.at span { color: var(--accent); font: 600 .76rem var(--mono); margin-right: .35rem } .at code { font-size: .78rem } .at:hover code { text-decoration: underline }
.share { min-width: 6.5rem } .bar { display: inline-block; width: 3rem; height: .5rem; margin-right: .5rem; border-radius: 2px; background: linear-gradient(90deg, var(--accent) var(--share), var(--wash) var(--share)) }

.kernel { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin-top: .6rem; scroll-margin: 4.5rem }
.kernel > summary { display: grid; grid-template-columns: 3.6rem minmax(0, 1fr) auto; gap: .2rem .6rem; align-items: baseline; padding: .65rem .9rem; cursor: pointer; list-style: none }
.kernel > summary::-webkit-details-marker { display: none }
.kernel > summary .name { white-space: nowrap; font: 600 .88rem var(--mono); color: var(--accent) } .kernel > summary .name::before { content: "▸ "; color: var(--soft) }
.kernel[open] > summary .name::before { content: "▾ " }
.kernel > summary .cost { font-size: .82rem; color: var(--soft); font-variant-numeric: tabular-nums; white-space: nowrap }
.kernel > :not(summary) { margin: .6rem .9rem }
.kernel[open] { border-color: var(--accent); padding-bottom: .4rem }
.idle { font-size: .86rem; padding: .3rem 0 } .form > summary { cursor: pointer; font-size: .86rem; font-weight: 600; padding: .3rem 0 } .form > summary small { font-weight: 400; margin-left: .4rem }
pre { background: var(--wash); border-radius: 8px; padding: .7rem .85rem; font-size: 12px; line-height: 1.55; overflow: auto; max-height: 32rem; tab-size: 2 }
.scroll { overflow-x: auto } .buffers th[scope="row"] { text-align: left }
.sides { display: grid; gap: .8rem; grid-template-columns: minmax(0, 1fr) }
mark { background: var(--warm-tint); color: inherit; border-radius: 3px }
.tensor.on { background: var(--tint) } .into { display: inline-block; min-width: 6.5em; color: var(--soft) }

@media (min-width: 1000px) {
  .columns { grid-template-columns: minmax(0, 2fr) minmax(0, 3fr) }
  .source { position: sticky; top: 0; align-self: start; height: 100vh; overflow: auto; padding: 1rem 0 }
  .listing { max-height: none; overflow-x: auto; overflow-y: visible }
  main { padding-top: 1rem }
  .sides { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) }
}
@media (max-width: 640px) {
  header { padding-top: 1.25rem } h1 { font-size: 1.3rem }
  
  .part { padding: .2rem .3rem .4rem } .part table, .part tbody, .part tr, .part td, .part th { display: block; border: 0; padding: 0; text-align: left }
  .part thead { display: none }
  .part tr { display: grid; grid-template-columns: 2.6rem repeat(3, minmax(0, 1fr)); gap: .15rem .6rem; padding: .6rem .4rem; border-top: 1px solid var(--line) }
  .part td.what { grid-column: 2 / -1; width: auto; max-width: none } .part td[data-label]::before { content: attr(data-label); display: block; font-size: .7rem; color: var(--soft) }
  .part td { font-size: .84rem; white-space: normal } .part tr th { grid-row: 1 / span 4 } .bar { width: 2rem }
    .kernel > summary { grid-template-columns: 3.6rem minmax(0, 1fr) } .kernel > summary .cost { grid-column: 2 }
}
@media print { .columns { display: block } .listing, pre { max-height: none } }
`
