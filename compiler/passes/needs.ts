/**
 * needs: what a run must have elements for, as the artifact says it to the runtime.
 *
 *   top 3 over n of x[n], n open   →   { extent: n, least: 3, text: "top takes 3 elements along 'n'", … }
 *
 * Extents that are known have been checked while tracing. Those of a run decide whether a ranking has as many elements as it gives, and whether
 * there is anything to index: nothing else that a program can say is undefined for few elements.
 */
import type { ArtifactNeed } from "../../runtime/artifact.js"
import { WeftError } from "../../runtime/errors.js"
import { print } from "../ir/expression.js"
import * as ir from "../ir/tensor.js"
import { extentTerms } from "./arrays.js"
import { authorSpan } from "./trace-arguments.js"

/** What the tensors below `roots` need, in their units, too. */
export function needsOf(roots: readonly ir.Tensor[]): readonly ArtifactNeed[] {
  const needs = new Map<string, ArtifactNeed>()
  const units = new Set<ir.Unit>()
  const visit = (tensors: readonly ir.Tensor[]): void => {
    for (const t of ir.topological(tensors)) {
      const need = needOf(t)
      if (need !== undefined) needs.set(JSON.stringify(need), need)
      if (t.kind !== "call" || units.has(t.unit)) continue
      units.add(t.unit)
      visit(t.unit.results)
    }
  }
  visit(roots)
  return [...needs.values()]
}

function needOf(t: ir.Tensor): ArtifactNeed | undefined {
  if (t.kind === "gather") return need(t, t.arg, t.axis, 1, "at")
  if (t.kind !== "reduce" || (t.monoid.kind !== "argmax" && t.monoid.kind !== "top")) return undefined
  return need(t, t.args[0]!, t.axis, t.monoid.kind === "top" ? t.monoid.k : 1, t.monoid.kind)
}

function need(t: ir.Tensor, arg: ir.Tensor, axis: string, least: number, name: string): ArtifactNeed | undefined {
  const { extent } = ir.axisOf(arg, axis)!
  if (extent.kind === "literal") return undefined
  const span = authorSpan(ir.spansOf(t))
  const terms = extentTerms(extent)
  if (terms === undefined)
    throw new WeftError("trace/extent", `${name} along '${axis}' of ${print(extent)} elements, which may be too few`, {
      span,
      hint: "give the axis an extent that is a sum of products of open ones",
    })
  const place = span === undefined ? "" : `, at ${span.file}:${span.line}:${span.column}`
  return { extent: terms, least, text: `'${name}' along '${axis}' takes at least ${least}${place}` }
}
