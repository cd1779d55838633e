/**
 * Planted faults of folds in parts, as a mistake in split would make them.
 *
 *   part[i] = argmax_{k < 16}(x[16 · i + k], 16 · i + k)   →   … (x[16 · i + k], k)      the place within the part
 */
import { apply, component, literal, reduce, substitute, variable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import type { KernelStep } from "../../compiler/kernel/fuse.js"
import { changeKernel } from "./mutate.js"

type Rule = (x: Expression) => Expression | undefined

const inReduce =
  (change: (r: Reduce) => Expression | undefined): Rule =>
  (x) =>
    x.kind === "reduce" ? change(x) : undefined

/** Of the kernel that makes the parts, or of the one that folds them. */
const inStep =
  (at: 0 | 1, rule: Rule, places = 1) =>
  (steps: readonly KernelStep[]): readonly KernelStep[] | undefined => {
    let changed: Kernel | undefined
    // Each component is a store of its own: the same mistake in all of them.
    for (let next = changeKernel(steps[at]!.kernel, rule, 0), n = 0; next !== undefined && n < places; n++) {
      changed = next
      next = changeKernel(changed, rule, 0)
    }
    return changed && steps.map((s, i) => (i === at ? { ...s, kernel: changed } : s))
  }

const moved = (r: Reduce, by: number): Reduce => {
  const at = new Map([[r.axis, apply("add", variable(r.axis), literal(by))]])
  return reduce(
    r.axis,
    r.extent,
    r.monoid,
    r.lift.map((l) => substitute(l, at)),
  )
}

/** Of a fold along parts: its extent depends on the part. */
const ofParts = (change: (r: Reduce) => Expression | undefined) =>
  inReduce((r) => (r.extent.kind === "operation" && r.extent.operation === "max" ? change(r) : undefined))

const withExtent = (r: Reduce, change: (extent: Expression) => Expression): Reduce =>
  reduce(r.axis, change(r.extent), r.monoid, r.lift)

/** Wrong parts; undefined where there is no place for the fault. */
export const splitFaults: Readonly<
  Record<string, (steps: readonly KernelStep[]) => readonly KernelStep[] | undefined>
> = {
  "parts start one on": inStep(
    0,
    ofParts((r) => moved(r, 1)),
  ),
  "parts end one short": inStep(
    0,
    ofParts((r) => withExtent(r, (e) => apply("max", literal(0), apply("sub", e, literal(1))))),
  ),
  "an empty part is 0, not the identity": inStep(0, (x) => {
    const of = x.kind === "component" ? x.of : x
    if (of.kind !== "reduce" || (x.kind === "component" && x.index > 0)) return undefined
    const pivot = of.monoid.kind === "max" || of.monoid.kind === "argmax" || of.monoid.kind === "online"
    if (!pivot || (x.kind === "reduce" && x.monoid.kind === "online" && x.monoid.channels > 0)) return undefined
    return apply("select", apply("gt", of.extent, literal(0)), x, literal(0, x.dtype))
  }),
  "place within the part for the place": inStep(
    0,
    ofParts((r) =>
      r.monoid.kind === "argmax" ? reduce(r.axis, r.extent, r.monoid, [r.lift[0]!, variable(r.axis)]) : undefined,
    ),
    4,
  ),
  "last part forgotten": inStep(
    1,
    inReduce((r) =>
      r.extent.kind === "literal" && r.lift.every((l) => l.kind === "load" || l.kind === "literal")
        ? withExtent(r, (e) => apply("sub", e, literal(1)))
        : undefined,
    ),
  ),
  "sums of parts not rescaled": inStep(
    1,
    inReduce((r) =>
      r.monoid.kind === "online" && r.monoid.channels > 0
        ? reduce(r.axis, r.extent, r.monoid, [literal(0, "f32"), ...r.lift.slice(1)])
        : undefined,
    ),
  ),
  "another component of a part": inStep(1, (x) => {
    if (x.kind !== "component" || x.of.kind !== "reduce" || x.of.monoid.kind !== "online") return undefined
    const { lift } = x.of
    if (lift.length < 3 || x.index === 0) return undefined
    return component(x.of, x.index === 1 ? 2 : 1)
  }),
}
