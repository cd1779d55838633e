/**
 * The loops of a kernel as the lanes of one workgroup go through them.
 *
 *   for i < 4748 serial { for j < 8 serial { acc = acc + select(b3[…] ≥ t, b4[…], 0) } }     37,984 steps, one after the other, of every lane
 *   if lane < 32 { … }                                                                        32 lanes that are busy
 *
 * A loop is not run to its end: an iteration in its middle stands for all, or the first, a middle and the last where conditions in it depend on
 * which it is. What is counted is of the loops that are emitted, so no schedule can promise what they do not do. Conditions that hang on data
 * count as true, both sides of them where there are two.
 */
import { type LoopKernel, type Statement, workgroupNames } from "../../ir/loop.js"
import { isJoint } from "../../ir/loop-visit.js"
import { accessed, arraysOf, privateArray } from "./arrays.js"
import { counted } from "./counted.js"
import { begins, laneValueOf, type Names, type Place, settle } from "./evaluate.js"
import { walkFragments } from "./fragments.js"
import { advance, numbersOf, samples } from "./iterations.js"
import type { Active } from "./patterns.js"
import { branches, type For, fetchedIn, isInnermost } from "./shape.js"
import type { BlockWork, State, Walk } from "./state.js"
import { countOf, known, type LaneValue, patternOf, subgroup, together, where } from "./values.js"

/** Cycles of an exchange within a subgroup, and of a barrier. On NVIDIA hardware; assumed. */
const exchangeCycles = 25
const barrierCycles = 30
/** Instructions and cycles of a loop's counter and branch. Assumed. */
const loopInstructions = 2
const loopCycles = 4
/**
 * Iterations of a loop of a fixed length whose fetches wait together: drivers unroll it by so many. With it products with one row on an H200 take what
 * they were measured to, at lengths of 8 and of 32.
 */
const unrolledTogether = 4

const nothing = {
  distinctWork: 0,
  laneWork: 0,
  operations: 0,
  products: 0,
  matrixSeconds: 0,
  instructions: 0,
  sharedCycles: 0,
  requested: 0,
  steps: 0,
  barriers: 0,
  cycles: 0,
  inFlight: 0,
}

/** What a workgroup does before all of its elements of the grid, and for one of them. */
export interface WalkedBlock {
  readonly prologue: BlockWork
  readonly work: BlockWork
}

/** Walks one workgroup through a kernel for one element of the grid. */
export function walkBlock(kernel: LoopKernel, group: number, walk: Walk): WalkedBlock {
  const numbers = { workgroup: group % kernel.groups, workgroups: kernel.groups }
  const variables = new Map<string, LaneValue>(workgroupNames.map((name) => [name, known(numbers[name])]))
  const names: Names = {
    patterns: walk.patterns,
    variable: (name) => variables.get(name)!,
    symbol: (name) => walk.sizes.get(name) ?? 1,
    fetch: (array, offset, width, place) => accessed(state, array, offset, width, place),
  }
  const state: State = {
    kernel,
    walk,
    group,
    names,
    variables,
    mutable: new Set(),
    arrays: arraysOf(kernel, walk.latency),
    work: { ...nothing },
    loops: [],
    times: 1,
    active: undefined,
    lanes: kernel.threads,
    warps: Math.ceil(kernel.threads / subgroup),
    skipped: 0,
    elements: 0,
    asked: 0,
    mostAsked: 0,
    prologue: nothing,
    there: new Map(),
    copies: { open: 0, groups: [], boxes: [] },
  }
  const place = newPlace(undefined, 0)
  scope(state, kernel.body, place)
  settle(place)
  stretchEnds(state)
  const { prologue } = state
  const whole = { ...state.work, cycles: place.issued + state.skipped }
  const own = Object.entries(whole).map(([k, v]) => [k, v - prologue[k as keyof BlockWork]])
  return { prologue, work: { ...(Object.fromEntries(own) as unknown as BlockWork), inFlight: whole.inFlight } }
}

/** What has been done belongs to no element of the grid. */
function beginGrid(state: State, place: Place): void {
  settle(place)
  stretchEnds(state)
  state.prologue = { ...state.work, cycles: place.issued + state.skipped }
  begins(place, place.issued)
  state.mostAsked = 0
  state.work.inFlight = 0
}

const newPlace = (outer: Place | undefined, begin: number): Place => ({
  effort: outer?.effort ?? { instructions: 0, operations: 0 },
  started: outer?.effort.instructions ?? 0,
  kept: new Map(),
  outer,
  begin,
  issued: begin,
})

function scope(state: State, body: readonly Statement[], place: Place): void {
  for (const s of body) run(state, s, place)
}

function run(state: State, s: Statement, place: Place): void {
  const { variables, work } = state
  if (isJoint(s)) {
    walkFragments(state, s, place)
    return
  }
  switch (s.kind) {
    case "for":
      if (s.bind === "grid") {
        beginGrid(state, place)
        variables.set(s.variable, known(state.group))
      }
      if (s.bind === "lane")
        variables.set(s.variable, known(Float64Array.from({ length: state.kernel.threads }, (_, i) => i)))
      if (s.bind === "grid" || s.bind === "lane") scope(state, s.body, place)
      else loop(state, s, place)
      return
    case "if":
      branch(state, s, place)
      return
    case "block":
      scope(state, s.body, place)
      return
    case "alloc":
      state.arrays.set(s.name, privateArray(s))
      return
    case "prefetch":
    case "await":
    case "release":
      return
    case "barrier":
      settle(place)
      begins(place, place.issued + barrierCycles)
      work.barriers += state.times
      work.instructions += state.times * state.warps
      stretchEnds(state)
      return
    case "let":
    case "assign": {
      const value = counted(state, place, 0, () => laneValueOf(s.value, state.names, place))
      if (s.kind === "let" && s.mutable) state.mutable.add(s.name)
      variables.set(s.name, state.mutable.has(s.name) ? { ...value, steady: false } : { ...value, steady: true })
      return
    }
    case "store":
      store(state, s, place)
      return
    case "shuffle": {
      const value = counted(state, place, 2, () => laneValueOf(s.value, state.names, place))
      const { patterns } = state.names
      const pattern = patterns.exchanged(patternOf(value, patterns), s.mask)
      variables.set(s.name, { known: false, pattern, ready: value.ready + exchangeCycles, steady: true })
      place.issued = Math.max(place.issued, value.ready)
      return
    }
    default:
      s satisfies never
  }
}

function store(state: State, s: Statement & { readonly kind: "store" }, place: Place): void {
  const { names, arrays } = state
  counted(state, place, 0, () => {
    const value = laneValueOf(s.value, names, place)
    const offset = laneValueOf(s.offset, names, place)
    const array = arrays.get(s.array)!
    place.issued = Math.max(place.issued, value.ready, offset.ready)
    const pattern = together([offset, value], names.patterns)
    if (array.space === "register") {
      arrays.set(s.array, { ...array, holds: pattern })
    } else {
      accessed(state, s.array, offset, s.value.width, place, true)
    }
    return { known: false, pattern, ready: value.ready, steady: false }
  })
}

/** What a stretch of code between loops, branches and barriers has asked buffers for is under way at once. */
function stretchEnds(state: State): void {
  const total = state.asked * state.times
  if (total > state.mostAsked) {
    state.mostAsked = total
    state.work.inFlight = state.asked
  }
  state.asked = 0
}

/** Runs code for fewer lanes. */
function among(state: State, active: Active, body: () => void): void {
  const before = { active: state.active, lanes: state.lanes, warps: state.warps }
  Object.assign(state, {
    active,
    lanes: countOf(active, state.kernel.threads),
    warps: warpsOf(active, state.kernel.threads),
  })
  body()
  Object.assign(state, before)
}

function warpsOf(active: Active, threads: number): number {
  let warps = 0
  for (let from = 0; from < threads; from += subgroup)
    if (active === undefined || active.subarray(from, from + subgroup).includes(1)) warps++
  return warps
}

function branch(state: State, s: Statement & { readonly kind: "if" }, place: Place): void {
  const condition = counted(state, place, 1, () => laneValueOf(s.condition, state.names, place))
  stretchEnds(state)
  settle(place)
  const begin = Math.max(place.issued, condition.ready)
  const ends: number[] = []
  const sides = [
    [s.body, true],
    [s.otherwise, false],
  ] as const
  const { threads } = state.kernel
  for (const [body, truth] of sides) {
    const active = condition.known ? where(condition.at, truth, state.active, threads) : state.active
    if (body.length === 0 || countOf(active, threads) === 0) continue
    const skipped = state.skipped
    const inner = newPlace(place, begin)
    among(state, active, () => scope(state, body, inner))
    settle(inner)
    stretchEnds(state)
    ends.push(inner.issued + state.skipped - skipped - begin)
    state.skipped = skipped
  }
  // Sides that lanes of different subgroups take run beside each other.
  const together = condition.known && typeof condition.at !== "number" && !dividesSubgroups(condition.at)
  const length = together ? Math.max(0, ...ends) : ends.reduce((a, b) => a + b, 0)
  begins(place, begin + length)
}

function dividesSubgroups(at: Float64Array): boolean {
  for (let from = 0; from < at.length; from += subgroup)
    for (let lane = from + 1; lane < Math.min(at.length, from + subgroup); lane++)
      if ((at[lane] !== 0) !== (at[from] !== 0)) return true
  return false
}

/** Iterations of a loop that compilers write one after the other, so that their fetches wait together. */
function unrolled(state: State, s: For, extent: number, place: Place): void {
  const { times, skipped } = state
  const together = Math.min(extent, unrolledTogether)
  const rounds = extent / together
  stretchEnds(state)
  settle(place)
  if (extent > together) state.loops.push({ variable: s.variable, extent, stride: together })
  const round = newPlace(place, place.issued)
  const first = together * Math.floor(rounds / 2)
  state.times = times * rounds
  for (let i = first; i < Math.min(extent, first + together); i++) {
    const inner = newPlace(round, round.begin)
    state.variables.set(s.variable, { ...known(i), slopes: new Map([[s.variable, 1]]) })
    state.work.steps += state.times
    scope(state, s.body, inner)
    settle(inner)
    round.issued = Math.max(round.issued, inner.issued)
  }
  settle(round)
  stretchEnds(state)
  state.times = times
  state.skipped += (Math.ceil(rounds) - 1) * (round.issued + loopCycles - round.begin + state.skipped - skipped)
  if (extent > together) state.loops.pop()
  begins(place, round.issued + loopCycles)
  state.variables.delete(s.variable)
}

/** Whether the loop is of a fixed length, without branches, and asks buffers for something: compilers unroll it for that. */
const isUnrolled = ({ arrays }: State, s: For): boolean =>
  s.extent.kind === "literal" &&
  isInnermost(s) &&
  !branches(s) &&
  fetchedIn(s).some((array) => arrays.get(array)?.space === "buffer")

/** A loop that is printed once for each iteration: nothing waits between them, one is issued after the other. */
function straight(state: State, s: For, extent: number, place: Place): void {
  const { times } = state
  const { effort } = place
  const before = effort.instructions
  state.times = times * extent
  state.variables.set(s.variable, { ...known(Math.floor(extent / 2)), slopes: new Map([[s.variable, 1]]) })
  scope(state, s.body, place)
  state.variables.delete(s.variable)
  state.times = times
  effort.instructions += (extent - 1) * (effort.instructions - before)
}

function loop(state: State, s: For, place: Place): void {
  if (s.bind === "unroll" && s.extent.kind === "literal") {
    if (s.extent.value > 0) straight(state, s, s.extent.value, place)
    return
  }
  if (s.extent.kind === "literal" && s.extent.value > 0 && isUnrolled(state, s)) {
    unrolled(state, s, s.extent.value, place)
    return
  }
  const extent = counted(state, place, 0, () => laneValueOf(s.extent, state.names, place))
  stretchEnds(state)
  const longest = !extent.known
    ? state.walk.expected
    : typeof extent.at === "number"
      ? extent.at
      : extent.at.reduce((most, e, lane) => (state.active?.[lane] === 0 ? most : Math.max(most, e)), 0)
  if (longest < 1 || state.lanes === 0) return
  settle(place)
  place.issued = Math.max(place.issued, extent.ready)
  const innermost = isInnermost(s)
  if (longest > 1) state.loops.push({ variable: s.variable, extent: longest, stride: 1 })
  for (const { at, weight } of samples(s, longest, innermost)) {
    const active =
      extent.known && typeof extent.at !== "number"
        ? where(
            extent.at.map((e) => Number(e > at)),
            true,
            state.active,
            state.kernel.threads,
          )
        : state.active
    const begin = place.issued
    const { times, skipped } = state
    const inner = newPlace(place, begin)
    state.times = times * weight
    state.variables.set(s.variable, { ...known(at), slopes: new Map([[s.variable, 1]]) })
    if (innermost) state.work.steps += state.times
    state.work.instructions += state.times * state.warps * loopInstructions
    const before = numbersOf(state)
    among(state, active, () => scope(state, s.body, inner))
    settle(inner)
    stretchEnds(state)
    state.times = times
    begins(place, inner.issued + loopCycles)
    state.skipped += (weight - 1) * (place.issued - begin + state.skipped - skipped)
    advance(state, before, weight)
  }
  if (longest > 1) state.loops.pop()
  state.variables.delete(s.variable)
}
