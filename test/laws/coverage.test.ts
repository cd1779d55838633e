/**
 * What the random programs of one run cover: every node kind, monoid, storage and schedule field, the shapes that boundaries need, and how many
 * schedules are refused for which reason.
 *
 * Nodes are counted of all programs, which takes no time; kernels and loops of folds and of a third of the others.
 */
import fc from "fast-check"
import { beforeAll, expect, test } from "vitest"
import { extentAt, literalExtent } from "../../compiler/ir/dim.js"
import { walk, withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { everyStatement, expressionsOf } from "../../compiler/ir/loop-visit.js"
import { type Monoid, monoidParts } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { type AxisTile, type Fields, type Schedule, scheduleFields } from "../../compiler/ir/schedule.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { binsCases, drawBins } from "./bins.js"
import { fuseProgram } from "./execute.js"
import { buildFolds, foldRecipes } from "./folds.js"
import { buildContraction, contractionRecipes } from "./fragments.js"
import { buildProgram, type LawProgram, nodesOf, recipes, rootsOf } from "./generate.js"
import { buildKernel, kernelRecipes } from "./kernels.js"
import { cutLimits } from "./limits.js"
import { loopsOf } from "./loops.js"
import { kernelsOf } from "./meaning.js"
import { dependentRecipes, withOnlineFolds } from "./online.js"
import { buildOnline, onlineRecipes } from "./online-fragments.js"
import { prologueCases, prologueKernel, prologueSchedule } from "./prologues.js"
import { drawSchedule, type Scheduled, scheduleNumbers } from "./schedules.js"
import { runs, seed } from "./settings.js"

const least = 20
const programs = 600
const prologues = 400
const bins = 100
const contractions = 110
const mostContractions = 3000
const onlineContractions = 30
const counts = new Map<string, number>()
const count = (key: string) => counts.set(key, (counts.get(key) ?? 0) + 1)
const countAll = (keys: Iterable<string>) => {
  for (const k of new Set(keys)) count(k)
}

const sizes: number[] = []
const shapes = { programs: 0, scheduled: 0, boundary: 0, one: 0, none: 0, two: 0 }
let schedules = 0

const cases = fc.record({
  recipe: recipes(),
  dependent: dependentRecipes(),
  kernel: kernelRecipes,
  folds: foldRecipes,
  cuts: cutLimits,
  schedule: scheduleNumbers,
})

/** Counts the nodes of a program; answers how many there are. */
function countNodes(p: LawProgram): number {
  const nodes = nodesOf(rootsOf(p))
  for (const t of nodes) {
    count(`tensor ${t.kind}`)
    count(`dtype ${t.dtype}`)
    if (t.kind === "input") count(`storage ${t.storage}`)
    if (t.kind === "reduce" || t.kind === "scan") for (const m of monoidsOf(t.monoid)) count(m)
  }
  return nodes.length
}

function countShapes(p: LawProgram): void {
  const extents = nodesOf(rootsOf(p)).flatMap((t) => t.axes.map((a) => a.extent))
  shapes.programs++
  if (extents.some((e) => literalExtent(e) === 1)) shapes.one++
  if (extents.some((e) => extentAt(e, p.values) === 0)) shapes.none++
  if (p.outputs.length > 1) shapes.two++
}

function* monoidsOf(m: Monoid): Generator<string> {
  if (m.kind === "product") yield "monoid product"
  for (const { monoid } of monoidParts(m)) {
    yield `monoid ${monoid.kind}`
    if (monoid.kind === "online") yield `monoid online ${monoid.recipe}`
  }
}

/** Whether a block of the axis reaches over its end, or its last tile does. */
function hasBoundary(axis: Axis, tile: AxisTile | undefined, symbols: ReadonlyMap<string, number>): boolean {
  const extent = extentAt(axis.extent, symbols)
  const step = (tile?.perThread ?? 1) * (tile?.vector ?? 1)
  const block = tile?.block === undefined || tile.block === "all" ? step : tile.block
  return extent > 0 && (extent % block !== 0 || extent % step !== 0)
}

function countSchedule(schedule: Schedule): void {
  const { threads, stores, locals } = schedule
  count(`schedule lanes ${threads > 1 ? "several" : "one"}`)
  const tiles = stores.flatMap((s) => Object.values(s.tile))
  const folds = stores.flatMap((s) => Object.values(s.reduce))
  const fields = (xs: readonly object[], of: string) =>
    xs.flatMap((x) => Object.keys(x).map((k) => `schedule ${of}.${k}`))
  const staged = stores.flatMap((s) => Object.values(s.staged ?? {}))
  const filled = staged.flatMap((h) => Object.values(h.tile))
  const scores = staged.flatMap((h) => (h.fold === undefined ? [] : [h.fold]))
  countAll([
    ...fields([schedule], "kernel"),
    ...fields(stores, "store"),
    ...fields(tiles, "axis"),
    ...fields(folds, "reduction"),
    ...fields(Object.values(locals), "locals"),
    ...fields(staged, "staged"),
    ...fields(filled, "filled"),
    ...fields(scores, "scores"),
  ])
  if (tiles.some((t) => t.block === "all")) count("schedule block all")
  if (tiles.some((t) => t.block !== "all")) count("schedule block some")
}

/** Whether a store has a tile that reaches over the end of its axis. */
const reachesOver = ({ items }: Kernel, { schedule }: Scheduled, symbols: ReadonlyMap<string, number>): boolean =>
  items
    .filter((i) => i.kind === "store")
    .some((s, i) => s.axes.some((a) => hasBoundary(a, schedule.stores[i]!.tile[a.name], symbols)))

/** Counts a kernel and its loops. */
function countKernel(kernel: Kernel, drawn: Scheduled): void {
  const found = new Set<string>()
  const see = (x: Expression) => {
    found.add(`expression ${x.kind}`)
    if (x.kind === "reduce" || x.kind === "scan")
      for (const m of monoidsOf(x.monoid)) found.add(m.replace("monoid", "folded"))
  }
  for (const item of kernel.items) {
    found.add(`item ${item.kind}`)
    walk(item.value, see)
  }
  for (const b of kernel.buffers) found.add(`storage ${b.storage} in kernels`)
  schedules++
  const loops = loopsOf(kernel, drawn)
  if (typeof loops === "string") count(`refused ${loops}`)
  else {
    countSchedule(drawn.schedule)
    for (const s of everyStatement(loops.hoisted.body)) {
      const kind = s.kind === "for" ? `for ${s.bind}` : s.kind === "alloc" ? `alloc ${s.space}` : s.kind
      found.add(`statement ${kind}`)
      if (
        s.kind === "for" &&
        s.bind === "lane" &&
        everyStatement(s.body).some((o) => o.kind === "for" && o.bind === "grid")
      )
        found.add(`prologue ${drawn.schedule.threads > 1 ? "of several lanes" : "of one lane"}`)
      for (const root of expressionsOf(s)) walk(root, (x) => found.add(`loop expression ${x.kind}`))
    }
  }
  countAll(found)
}

beforeAll(() => {
  for (const [n, c] of fc.sample(cases, { seed, numRuns: runs(programs) }).entries())
    withTable(() => {
      const [p, drawn] = [buildProgram(c.recipe), buildProgram(c.dependent)]
      sizes.push(countNodes(p))
      countNodes(drawn)
      countShapes(p)
      const folds = buildFolds(c.folds).kernel
      countKernel(folds, drawSchedule(folds, c.schedule, 0, 75, 100))
      if (n % 3 > 0) return
      shapes.scheduled++
      let boundary = false
      kernelsOf(fuseProgram(p, c.cuts)).forEach((k, i) => {
        const scheduled = drawSchedule(k, c.schedule, i)
        countKernel(k, scheduled)
        boundary ||= reachesOver(k, scheduled, p.values)
      })
      if (boundary) shapes.boundary++
      const kernel = buildKernel(c.kernel)
      countKernel(kernel, drawSchedule(kernel, c.schedule))
      kernelsOf(fuseProgram(withOnlineFolds(drawn))).forEach((k, i) => {
        countKernel(k, drawSchedule(k, c.schedule, i))
      })
    })
  for (const c of fc.sample(prologueCases, { seed, numRuns: runs(prologues) }))
    withTable(() => {
      const kernel = prologueKernel(c)
      countKernel(kernel, prologueSchedule(kernel, c))
    })
  for (const c of fc.sample(binsCases, { seed, numRuns: runs(bins) }))
    withTable(() => {
      const { kernel, scheduled } = drawBins(c)
      countKernel(kernel, scheduled)
    })
  // Products on matrix units, and online folds of them; as many more products as it takes until what is rare has been made.
  const options = { maxGroups: 65_536, sharedBytes: 1 << 20 }
  const hasAll = () => rare.every((k) => counts.has(`statement ${k}`))
  for (const [n, c] of fc.sample(contractionRecipes, { seed, numRuns: mostContractions }).entries()) {
    if (n >= runs(contractions) && hasAll()) break
    withTable(() => {
      const { kernel, schedule } = buildContraction(c)
      countKernel(kernel, { schedule, options })
    })
  }
  for (const c of fc.sample(onlineRecipes, { seed, numRuns: runs(onlineContractions) }))
    withTable(() => {
      const { kernel, schedule } = buildOnline(c)
      countKernel(kernel, { schedule, options })
    })
})

const expected: Readonly<Record<string, readonly string[]>> = {
  tensor: ["input", "constant", "iota", "map", "reduce", "scan", "reindex", "gather", "update", "call"],
  dtype: ["f32", "i32", "u32", "bool"],
  storage: ["f32", "i32", "u32", "bool", "bf16", "f16"],
  monoid: ["sum", "max", "min", "argmax", "top", "product"],
  folded: ["sum", "max", "min", "argmax", "top", "product", "online", "online exp", "online moments"],
  item: ["local", "store"],
  expression: ["literal", "variable", "symbol", "operation", "load", "localRead", "reduce", "scan", "component"],
  statement: [
    "for grid",
    "for lane",
    "for serial",
    "for unroll",
    "if",
    "block",
    "let",
    "assign",
    "alloc register",
    "alloc shared",
    "store",
    "barrier",
    "shuffle",
    "multiply",
    "fill",
    "copy",
    "commit",
    "wait",
  ],
  "loop expression": ["literal", "variable", "symbol", "operation", "fetch", "splat", "ramp", "lane", "vector"],
  prologue: ["of several lanes", "of one lane"],
  schedule: [
    "lanes one",
    "lanes several",
    "block all",
    "block some",
    // Every field that there is, and those of reductions also where they are done in another way.
    ...Object.entries(scheduleFields).flatMap(([place, fields]) =>
      Object.keys(fields as Fields).map((name) => `${place}.${name}`),
    ),
    "locals.run",
    "locals.vector",
    "locals.accumulators",
    "locals.group",
    "scores.vector",
    "scores.accumulators",
    "scores.group",
  ],
}

/** What `tile` makes for atoms of which only the hardware knows the layout, and of operands that are boxes: a few of the programs. */
const rare = ["drain", "arrivals", "copyBoxes", "arrived"]

test.each(Object.entries(expected))("every %s kind at least twenty times", (group, kinds) => {
  const few = kinds.filter((k) => (counts.get(`${group} ${k}`) ?? 0) < least * Math.min(1, runs(programs) / programs))
  expect(few.map((k) => `${k}: ${counts.get(`${group} ${k}`) ?? 0}`)).toEqual([])
})

test("statements that tile makes are known, the rare ones as well", () => {
  const made = [...counts.keys()].filter((k) => k.startsWith("statement ")).map((k) => k.slice("statement ".length))
  expect(rare.filter((k) => !made.includes(k))).toEqual([])
  expect(made.filter((k) => !expected.statement!.includes(k) && !rare.includes(k))).toEqual([])
})

test("programs have the sizes and boundaries that the design asks for", () => {
  const median = sizes.sort((a, b) => a - b)[sizes.length >> 1]!
  console.log(`median ${median} nodes, ${JSON.stringify(shapes)}, WEFT_SEED=${seed}`)
  expect(median).toBeGreaterThanOrEqual(6)
  expect(shapes.boundary / shapes.scheduled).toBeGreaterThanOrEqual(0.3)
  expect(shapes.one / shapes.programs).toBeGreaterThanOrEqual(0.1)
  expect(shapes.none).toBeGreaterThan(0)
  expect(shapes.two).toBeGreaterThan(0)
})

test("schedules are refused for known reasons, and not often", () => {
  const refusals = [...counts].filter(([k]) => k.startsWith("refused "))
  console.log(`of ${schedules} schedules: ${refusals.map(([k, n]) => `${k} ${n}`).join(", ")}`)
  expect(refusals.reduce((n, [, x]) => n + x, 0) / schedules).toBeLessThan(0.3)
})
