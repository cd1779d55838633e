/**
 * Pairs: schedule → schedule. A store to memory in which two elements share a word writes both.
 *
 *   { dim: { block: 1 } }                  →   { dim: { block: 2, perThread: 2 } }        a lane has two neighbours
 *   { dim: { block: 64 } } in chunks       →   { dim: { block: 64, vector: 2 } }         registers lie apart there, and rows of operands
 *
 * The rest of the schedule stays: how a fold is done (vectors, lanes) is no matter of where its result goes. Machines that store single halves
 * get pairs, too, where rows consist of them: neighbours share what they read. A lane by itself with vectors reads one row after the other instead, in
 * the order of memory: two at once took twice as long for 6,144 rows of 2 KiB on an x86 processor (Zen 4) with V8 11.3.
 */
import { literalExtent } from "../ir/dim.js"
import { walk } from "../ir/expression.js"
import { bufferOf, type Kernel, type Store } from "../ir/kernel.js"
import { packed } from "../ir/loop.js"
import type { ScheduleTarget } from "../ir/machine.js"
import type { Expression } from "../ir/nodes.js"
import type { AxisTile, StoreSchedule } from "../ir/schedule.js"

export function inPairs(
  schedule: StoreSchedule,
  store: Store,
  kernel: Kernel,
  { rules, singleHalves = false }: Pick<ScheduleTarget, "rules" | "singleHalves">,
): StoreSchedule {
  const { storage, shape } = bufferOf(kernel, store.buffer)
  if (!packed(storage) || (rules === "lane" && singleHalves)) return schedule
  const axis = wordsAlong(store.index.at(-1))
  const along = store.axes.find((a) => a.name === axis)
  if (axis === undefined || along === undefined) return schedule
  const even = (n: number | undefined) => n !== undefined && n % 2 === 0
  if (singleHalves && !(even(shape.at(-1)) && even(literalExtent(along.extent)))) return schedule
  const given = schedule.tile[axis] ?? { block: 1 }
  if ((given.vector ?? 1) % 2 === 0) return schedule
  const chunked = Object.values(schedule.reduce).some((r) => r.chunk !== undefined)
  const perThread = given.perThread ?? 1
  const paired = even(perThread)
  const tile: AxisTile = chunked
    ? { ...given, perThread: paired ? perThread / 2 : 1, vector: 2 }
    : { ...given, perThread: paired ? perThread : 2 }
  const block = given.block === "all" ? given.block : given.block + (paired ? 0 : given.block % 2)
  const staged = chunked ? interleaved(schedule.staged, axis, store) : schedule.staged
  return {
    ...schedule,
    tile: { ...unvectored(schedule.tile), [axis]: { ...tile, block } },
    ...(staged === undefined ? {} : { staged }),
  }
}

/** The axis along which an index begins with a whole word: of all of a row, or of what lies behind an even number of elements. */
function wordsAlong(index: Expression | undefined): string | undefined {
  if (index?.kind === "variable") return index.name
  if (index?.kind !== "operation" || index.operation !== "add") return undefined
  const [from, by] = index.args
  return from?.kind === "variable" && by?.kind === "literal" && by.value % 2 === 0 ? from.name : undefined
}

/** Operands with a row for each place of an axis: a lane with two neighbours reads a row that is next to that of the next lane. */
function interleaved(staged: StoreSchedule["staged"], axis: string, store: Store): StoreSchedule["staged"] {
  const made = { ...staged }
  walk(store.value, (x) => {
    if (x.kind !== "load" || made[x.buffer] === undefined) return
    const at = x.index.findIndex((i) => i.kind === "variable" && i.name === axis)
    if (at >= 0 && at < x.index.length - 1) made[x.buffer] = { ...made[x.buffer]!, interleave: axis }
  })
  return staged === undefined ? undefined : made
}

/** Vectors along other axes become registers: a vector is stored at once only along the last axis of memory. */
const unvectored = (tile: StoreSchedule["tile"]): StoreSchedule["tile"] =>
  Object.fromEntries(
    Object.entries(tile).map(([name, { block, perThread = 1, vector = 1 }]) => [
      name,
      { block, perThread: perThread * vector },
    ]),
  )
