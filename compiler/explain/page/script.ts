/**
 * What the page does besides standing there: a chosen line shows its kernels alone, a chosen kernel its lines, and links open what is folded.
 *
 * The page can be read without it.
 */
export const script = `
const all = (selector) => [...document.querySelectorAll(selector)]
const listOf = (text) => (text ? text.split(" ") : [])
const chosen = document.getElementById("chosen")
const lines = all(".line.linked")
const entries = all("[name='entry']")
const entryOf = () => Math.max(0, entries.findIndex((e) => e.checked))
let current

const mark = (places) => lines.forEach((line) => line.classList.toggle("on", places.includes(line.dataset.place)))

function show(line) {
  current = line
  const entry = entryOf()
  const kernels = line && listOf(line.getAttribute("data-of-" + entry))
  mark(line ? [line.dataset.place] : [])
  for (const item of all("[data-kernel]")) item.classList.toggle("off", kernels !== undefined && !kernels.includes(item.dataset.kernel))
  const tensors = all(".tensor").filter((t) => line && listOf(t.dataset.places).includes(line.dataset.place))
  for (const t of all(".tensor")) t.classList.toggle("on", tensors.includes(t))
  chosen.hidden = line === undefined
  if (line === undefined) return
  const clear = Object.assign(document.createElement("button"), { type: "button", textContent: "Show everything" })
  clear.addEventListener("click", () => show(undefined))
  const [, file, number] = line.dataset.place.match(/^(.*):(\\d+)$/)
  const what = kernels.length > 0 ? kernels.map((k) => "k" + k).join(", ") : "no kernel here"
  const program = Object.assign(document.createElement("pre"), { tabIndex: 0 })
  program.textContent = tensors.filter((t) => t.closest(".of-" + entry)).map((t) => t.textContent.trim()).join("\\n")
  chosen.replaceChildren("Line " + number + " of " + file + ": " + what + ". ", clear, ...(program.textContent ? [program] : []))
  if (innerWidth < 1000) chosen.scrollIntoView({ block: "start" })
}

for (const line of lines)
  line.addEventListener("click", (event) => {
    if (event.target.closest(".chip[href]")) return
    event.preventDefault()
    show(line === current ? undefined : line)
  })
for (const entry of entries) entry.addEventListener("change", () => show(current))
for (const card of all(".kernel"))
  card.addEventListener("toggle", () => card.open && current === undefined && mark(listOf(card.dataset.places)))

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)))
  if (!target) return
  for (let up = target; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true
  if (target.classList.contains("off")) show(undefined)
  const shown = (i) => target.closest("[class*='of-']") === null || target.closest(".of-" + i) !== null
  if (!shown(entryOf())) entries.find((e, i) => shown(i))?.click()
  const isLine = target.classList.contains("line")
  if (isLine && current === undefined) mark([target.dataset.place])
  target.scrollIntoView({ block: isLine ? "center" : "start" })
}
addEventListener("hashchange", openTarget)
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']")
  if (link && link.hash === location.hash) openTarget()
})

const [first] = lines
if (location.hash === "" && first)
  for (const pane of [first.closest(".listing"), first.closest(".source")])
    pane.scrollTop += first.getBoundingClientRect().top - pane.getBoundingClientRect().top - 80
openTarget()
`
