/**
 * Planted faults of rows in groups: one node of the grouping changed, as a mistake in counting, ranking or finding would make it.
 *
 *   first = end − blocks   →   first = end      the prefix counts its own value
 */

import { apply, literal, rewrite } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { rebuild, sources, topological } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"

const stem = (name: string | undefined) => name?.split(".")[0]
const alongOf = (t: ir.Tensor, ...stems: readonly string[]) =>
  stems.every((s) => t.axes.some((a) => stem(a.name) === s))

const uses = (x: Expression, operation: string): boolean =>
  x.kind === "operation" && (x.operation === operation || x.args.some((a) => uses(a, operation)))

const changedBody = (t: ir.Tensor, change: (x: Expression) => Expression | undefined): ir.Tensor | undefined => {
  if (t.kind !== "map") return undefined
  const body = rewrite(t.body, change)
  return body === t.body ? undefined : ir.map(body, t.args)
}
const operation = (from: string, to: (x: Expression & { kind: "operation" }) => Expression) => (x: Expression) =>
  x.kind === "operation" && x.operation === from ? to(x) : undefined

const isSub = (t: ir.Tensor): t is ir.Map =>
  t.kind === "map" && t.body.kind === "operation" && t.body.operation === "sub" && t.args[0]!.kind === "scan"

export const gatherFaults: Readonly<Record<string, (t: ir.Tensor) => ir.Tensor | undefined>> = {
  "blocks of a value begin where they end": (t) =>
    isSub(t) && t.args[1]!.kind === "map" && alongOf(t, "value") && !alongOf(t, "part") ? t.args[0] : undefined,
  "the first row of a part is before it": (t) =>
    alongOf(t, "edge", "row")
      ? changedBody(
          t,
          operation("lt", (x) => apply("le", ...x.args)),
        )
      : undefined,
  "a last block that is not full is forgotten": (t) =>
    t.kind === "map" && t.axes.length === 1 && alongOf(t, "value") && uses(t.body, "floordiv")
      ? changedBody(
          t,
          operation("add", (x) => x.args[0]!),
        )
      : undefined,
  "a row ranks after itself": (t) =>
    alongOf(t, "part", "other", "member")
      ? changedBody(
          t,
          operation("lt", (x) => apply("le", ...x.args)),
        )
      : undefined,
  "ties in one order to the places and in another from them": (t) => {
    if (t.kind !== "reindex" || t.arg.kind !== "map" || !alongOf(t.arg, "part", "member") || alongOf(t, "part"))
      return undefined
    const at = t.arg.args.findIndex((a) => a.kind === "reduce" && stem(a.axis) === "other")
    const inside = t.arg.args[at]
    if (inside?.kind !== "reduce") return undefined
    const later = changedBody(
      inside.args[0]!,
      operation("lt", (x) => apply("gt", ...x.args)),
    )
    if (later === undefined) return undefined
    const other = ir.reduce(inside.monoid, inside.axis, [later])
    const placed = ir.map(
      t.arg.body,
      t.arg.args.map((a, i) => (i === at ? other : a)),
    )
    return ir.reindex(placed, t.axes, t.index, t.valid, t.fill)
  },
  "the owner of the block before": (t) =>
    alongOf(t, "value", "block")
      ? changedBody(
          t,
          operation("le", (x) => apply("lt", ...x.args)),
        )
      : undefined,
  "the part before": (t) =>
    alongOf(t, "edge", "block", "place")
      ? changedBody(
          t,
          operation("le", (x) => apply("lt", ...x.args)),
        )
      : undefined,
  "the row of another place is found": (t) =>
    alongOf(t, "block", "place", "member")
      ? changedBody(
          t,
          operation("eq", (x) => apply("le", ...x.args)),
        )
      : undefined,
  "padding read as data": (t) =>
    t.kind === "map" && t.args.length === 1 && t.args[0]!.kind === "reindex" && uses(t.body, "floormod")
      ? changedBody(
          t,
          operation("floormod", (x) => apply("floormod", apply("add", x.args[0]!, literal(1)), x.args[1]!)),
        )
      : undefined,
  "indices out of range not clamped": (t) => (t.kind === "map" && isClamp(t.body) ? t.args[0] : undefined),
}

const isClamp = (x: Expression): boolean =>
  x.kind === "operation" && x.operation === "max" && x.args.some((a) => a.kind === "operation" && a.operation === "min")

/** The program with every such node changed; undefined when there is none. Units keep theirs. */
export function plant(
  roots: readonly ir.Tensor[],
  fault: (t: ir.Tensor) => ir.Tensor | undefined,
): readonly ir.Tensor[] | undefined {
  const memo = new Map<ir.Tensor, ir.Tensor>()
  let placed = false
  for (const t of topological(roots)) {
    const rebuilt = rebuild(
      t,
      sources(t).map((s) => memo.get(s)!),
    )
    const changed = fault(rebuilt)
    placed ||= changed !== undefined
    memo.set(t, changed ?? rebuilt)
  }
  return placed ? roots.map((t) => memo.get(t)!) : undefined
}
