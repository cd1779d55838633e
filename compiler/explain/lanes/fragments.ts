/**
 * What lanes do together with fragments, and what they copy meanwhile, as work of a workgroup.
 *
 *   multiply … by mma.m16n8k16.bf16     2 · 16 · 8 · 16 operations of each 32 lanes, one instruction
 *   fill … as a                         16 · 16 halves of each 32 lanes from the memory of the workgroup, one instruction
 *   copy tile[…] = x[…]; … wait         asks memory for it; lanes wait where they say so
 */
import { type Atom, atoms, fragmentSize } from "../../ir/fragments/atoms.js"
import { type Statement, type StatementOf, storageBytes } from "../../ir/loop.js"
import { expressionsOf, type Joint } from "../../ir/loop-visit.js"
import { accessed, sharedBytesPerCycle, sharedCycles } from "./arrays.js"
import { counted } from "./counted.js"
import { begins, laneValueOf, type Place, settle } from "./evaluate.js"
import type { State } from "./state.js"
import { known, type LaneValue, subgroup } from "./values.js"

/** Cycles from a product to one that waits for it. On NVIDIA hardware; assumed. */
const productCycles = 33
/** Elements of halves that one instruction brings to a subgroup: four parts of 8 × 8. */
const broughtAtOnce = 256

export function walkFragments(state: State, s: Joint, place: Place): void {
  switch (s.kind) {
    case "multiply":
      multiply(state, s, place)
      return
    case "fill":
    case "drain":
      move(state, s, place)
      return
    case "copy":
      copy(state, s, place)
      return
    case "arrivals":
      return
    case "copyBoxes":
      copyBoxes(state, s, place)
      return
    case "arrived":
      settle(place)
      begins(place, Math.max(place.issued, state.copies.boxes.at(0) ?? 0))
      state.copies.boxes.shift()
      return
    case "commit":
      if (s.of === "products") return
      state.copies.groups.push(state.copies.open)
      state.copies.open = 0
      return
    case "wait":
      settle(place)
      begins(place, Math.max(place.issued, waitedFor(state, s)))
      return
    default:
      s satisfies never
  }
}

function waitedFor({ copies, there }: State, { of, groups }: StatementOf<"wait">): number {
  if (of === "copies") return copies.groups.at(-1 - groups) ?? 0
  return groups > 0 ? 0 : Math.max(0, ...there.values())
}

/** Offsets, and so many instructions of each subgroup beside them. */
function issued(state: State, s: Statement, place: Place, instructions: number): void {
  counted(state, place, instructions, () => {
    for (const x of expressionsOf(s)) laneValueOf(x, state.names, place)
    return known(0)
  })
}

const groupsOf = ({ warps }: State, { lanes }: Atom): number => (warps * subgroup) / lanes

function multiply(state: State, s: StatementOf<"multiply">, place: Place): void {
  const atom = atoms.get(s.atom)!
  const { work, times, there, walk } = state
  issued(state, s, place, 1)
  const groups = times * groupsOf(state, atom)
  const operations = 2 * atom.m * atom.n * atom.k
  work.products += groups * operations
  work.matrixSeconds += groups * operations * (walk.atomSeconds?.(atom.name) ?? 0)
  work.distinctWork += groups * operations
  work.laneWork += (times * operations) / atom.lanes
  const operands = [s.a, s.b].map(({ array }) => there.get(array) ?? 0)
  place.issued = Math.max(place.issued, ...operands)
  there.set(s.c.array, place.issued + productCycles)
}

function move(state: State, s: StatementOf<"fill" | "drain">, place: Place): void {
  const atom = atoms.get(s.atom)!
  const { work, times, there, arrays } = state
  const [tile, held, name, count] =
    s.kind === "fill" ? ([s.from, s.to, s.operand, s.count] as const) : ([s.to, s.from, "c", 1] as const)
  const perLane = count * fragmentSize(atom, name)
  issued(state, s, place, Math.ceil((perLane * subgroup) / broughtAtOnce))
  const array = arrays.get(tile.array)!
  const bytes = groupsOf(state, atom) * perLane * atom.lanes * storageBytes(array.storage)
  if (array.space === "buffer") {
    work.requested += times * bytes
    state.asked += bytes
  } else work.sharedCycles += (times * bytes) / sharedBytesPerCycle
  const ready = place.issued + (array.space === "buffer" ? array.latency : sharedCycles)
  if (s.kind === "fill") there.set(held.array, Math.max(ready, there.get(held.array) ?? 0))
}

function copy(state: State, { to, from, width, valid }: StatementOf<"copy">, place: Place): void {
  const { names, copies } = state
  counted(state, place, 1, () => {
    if (valid !== undefined) laneValueOf(valid, names, place)
    const [target, source] = [to, from].map(({ offset }) => laneValueOf(offset, names, place)) as [LaneValue, LaneValue]
    const got = accessed(state, from.array, source, width, place)
    accessed(state, to.array, target, width, place, true)
    copies.open = Math.max(copies.open, got.ready)
    return got
  })
}

/** One lane asks for all, and the copy engine stores it. */
function copyBoxes(state: State, s: StatementOf<"copyBoxes">, place: Place): void {
  const { work, times, arrays, copies } = state
  issued(state, s, place, s.boxes.length)
  let ready = place.issued
  for (const { from } of s.boxes) {
    const array = arrays.get(from.array)!
    const bytes = from.height * from.width * storageBytes(array.storage)
    work.requested += times * bytes
    state.asked += bytes
    work.sharedCycles += (times * bytes) / sharedBytesPerCycle
    ready = Math.max(ready, place.issued + array.latency)
  }
  copies.boxes.push(ready)
}
