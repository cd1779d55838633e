/**
 * needs: what a run must have elements for, as the artifact says it to the runtime.
 *
 *   top 3 over n of x[n], n open       →   { extent: n, least: 3, text: "top takes 3 elements along 'n'", … }
 *   slice 2 … 4 over n of x[n], n open →   { extent: n, least: 5, text: "an index map along 'n' takes at least 5", … }
 *   append n rows at past, room for 64 →   { extent: 65 − past − n, least: 1, text: "'key' has room for 64, and for all that is written", … }
 *
 * Extents that are known have been checked while tracing. Those of a run decide whether a ranking has as many elements as it gives, whether there
 * is anything to index, whether slices, picks and windows stay within their axis, and whether a state has room for what is written.
 * The proof that accesses lie in their buffers assumes them.
 */

import type { ArtifactNeed, ArtifactTerm } from "../../runtime/artifact.js"
import { WeftError } from "../../runtime/errors.js"
import type { Dim } from "../ir/dim.js"
import { add, literal, print, sub } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import { topological } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"
import { authorSpan } from "../trace/arguments.js"
import { extentTerms } from "./host-arrays.js"

/** What the tensors below `roots` need, in their units, too. */
export function needsOf(roots: readonly ir.Tensor[]): readonly ArtifactNeed[] {
  const needs = new Map<string, ArtifactNeed>()
  const units = new Set<ir.Unit>()
  const visit = (tensors: readonly ir.Tensor[]): void => {
    for (const t of topological(tensors)) {
      const need = needOf(t)
      for (const one of need === undefined ? withinAxes(t) : [need]) needs.set(JSON.stringify(one), one)
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

/** An index map without a mask reads its argument from 0 to the last element, and what it gives has no less than no elements. */
function withinAxes(t: ir.Tensor): readonly ArtifactNeed[] {
  if (t.kind === "update") return withinState(t)
  if (t.kind !== "reindex" || t.valid !== undefined) return []
  const extents = new Map(t.axes.map((a) => [a.name, a.extent]))
  const read = t.arg.axes.flatMap(({ name, extent }) => {
    const index = t.index.get(name)!
    const [first, last] = [edge(index, extents, false), edge(index, extents, true)]
    return [
      ...(first === undefined ? [] : atLeast(t, first, 0, name)),
      ...(last === undefined ? [] : atLeast(t, sub(extent, last), 1, name)),
    ]
  })
  return [...read, ...t.axes.flatMap(({ name, extent }) => atLeast(t, extent, 0, name))]
}

/** A state has room for what is written to it. */
function withinState(t: ir.Update): readonly ArtifactNeed[] {
  if (t.axis === undefined) return []
  const room = t.state.kept?.most ?? t.state.capacity[t.state.axes.findIndex((a) => a.name === t.axis)]!
  const end = add(t.at, ir.axisOf(t.value, t.axis)!.extent)
  const what = `'${t.axis}' has room for ${room}, and for all that is written`
  return [...atLeast(t, t.at, 0, t.axis, what), ...atLeast(t, sub(literal(room), end), 0, t.axis, what)]
}

/** The largest value of an index over its axes, or the smallest; undefined where it goes round, as in a roll, and stays within by itself. */
function edge(x: Expression, extents: ReadonlyMap<string, Dim>, largest: boolean): Dim | undefined {
  if (x.kind === "literal" || x.kind === "symbol") return x
  if (x.kind === "variable") return largest ? sub(extents.get(x.name)!, literal(1)) : literal(0)
  if (x.kind !== "operation" || (x.operation !== "add" && x.operation !== "sub")) return undefined
  const left = edge(x.args[0]!, extents, largest)
  const right = edge(x.args[1]!, extents, x.operation === "add" ? largest : !largest)
  return left && right && (x.operation === "add" ? add(left, right) : sub(left, right))
}

/** The need that `count` is not below `least`, when that is not certain; `what` says it for people. */
function atLeast(t: ir.Tensor, count: Dim, least: number, axis: string, what?: string): readonly ArtifactNeed[] {
  const factors = new Map<string, ArtifactTerm>()
  for (const { factor, symbols } of extentTerms(count) ?? []) {
    const key = [...symbols].sort().join(" ")
    factors.set(key, { factor: factor + (factors.get(key)?.factor ?? 0), symbols })
  }
  const terms = [...factors.values()].filter(({ factor, symbols }) => factor !== 0 && symbols.length > 0)
  const rest = factors.get("")?.factor ?? 0
  if (terms.every(({ factor }) => factor > 0) && rest >= least) return []
  const span = authorSpan(ir.spansOf(t))
  const place = span === undefined ? "" : `, at ${span.file}:${span.line}:${span.column}`
  // What is known goes to the other side, where it counts elements; without anything open the map is empty, as its extents say.
  if (terms.length === 0) return []
  const wanted = least - rest
  return wanted >= 1
    ? [
        {
          extent: terms,
          least: wanted,
          text: `${what ?? `an index map along '${axis}' takes at least ${wanted}`}${place}`,
        },
      ]
    : [
        {
          extent: [...terms, { factor: 1 - wanted, symbols: [] }],
          least: 1,
          text: `${what ?? `an index map leaves the axis '${axis}'`}${place}`,
        },
      ]
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
