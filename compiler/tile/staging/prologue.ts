/**
 * The prologue of a kernel whose workgroups take several cells: what is staged that depends on none of them is made before the first, once, and
 * all stores of the kernel read the same.
 *
 *   y[o] = sum_k(row{k} · w[o, k]), z[p] = sum_k(row{k} · v[p, k])   →   row; for group < … grid { y's cells, z's cells }
 */
import { type Dim, literalExtent } from "../../ir/dim.js"
import { apply, freeVariables, literal, variable } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import { storedIn } from "../../ir/loop-visit.js"
import { nodesOf } from "../../ir/query.js"
import type { Build, Home, Prologue } from "../block.js"
import { createFences } from "./fill.js"
import type { StagedAxis, StagedLocal } from "./staged.js"

/** `total`: how many blocks there are. A device may launch more workgroups, in which the prologue may have nothing to read. */
export const createPrologue = (parts: Build, total: Dim): Prologue => ({
  out: [],
  always: literalExtent(total) !== undefined || parts.schedule.threads === 1,
  homes: new Map(),
  kept: new Set(),
  fences: createFences(parts),
})

/** Under what a local is known that is the same for all cells; undefined when it is not. */
export function commonKey(
  local: StagedLocal,
  axes: readonly StagedAxis[],
  homes: ReadonlyMap<string, Home>,
  { prologue }: Build,
): string | undefined {
  if (prologue === undefined || local.moves === true || local.empty === true) return undefined
  const own = new Set(local.axes.map((a) => a.name))
  if ([...freeVariables(local.value)].some((name) => !own.has(name))) return undefined
  if (axes.some((a) => freeVariables(a.base).size > 0)) return undefined
  const common = new Set(prologue.homes.values())
  const reads = nodesOf([local.value], "localRead").map((x) => homes.get(x.local)!)
  if (!reads.every((home) => common.has(home))) return undefined
  return `${local.name} ${axes.map((a) => a.size)} ${JSON.stringify(local.tile)}`
}

/** The loops of a kernel, `cells` being what is done for one block. */
export function gridLoops(parts: Build, total: Dim, cells: readonly Statement[]): readonly Statement[] {
  const { shared, schedule, prologue } = parts
  const alloc = (name: string): Statement => ({ kind: "alloc", name, ...shared.get(name)!, space: "shared" })
  const loop = (bind: "grid" | "lane", body: readonly Statement[]): Statement =>
    bind === "grid"
      ? { kind: "for", variable: "group", extent: total, bind, body }
      : { kind: "for", variable: "lane", extent: literal(schedule.threads), bind, body }
  const arrays = [...shared.keys()]
  const fence: readonly Statement[] = [{ kind: "barrier" }]
  if (prologue === undefined || prologue.out.length === 0)
    return [loop("grid", [...arrays.map(alloc), loop("lane", [...(arrays.length > 0 ? fence : []), ...cells])])]
  const { out, kept, fences, always } = prologue
  fences.settle(out)
  const [early, late] = [storedIn(out), storedIn(cells)]
  const isEarly = (name: string) => kept.has(name) || early.has(name)
  // Lanes may still be at the cell before.
  const reuses = arrays.some((name) => late.has(name))
  const own = arrays.filter((name) => !isEarly(name)).map(alloc)
  const grid = loop("grid", [...own, ...(reuses ? fence : []), ...cells])
  const condition = apply("lt", variable("workgroup"), total)
  const first: readonly Statement[] = always ? out : [{ kind: "if", condition, body: out, otherwise: [] }]
  return [...arrays.filter(isEarly).map(alloc), loop("lane", [...first, grid])]
}
