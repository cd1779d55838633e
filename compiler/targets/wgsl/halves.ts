/**
 * Expressions by what WGSL has: no vectors of 8, offsets in units (arrays.ts), no single bf16 or f16.
 *
 *   x[8i : 8]  →  two halves of 4, of one load of four words where x is packed
 *   b[i]       →  a pair, b[i >> 1], and its part by the parity of i
 */
import { fault } from "../../../runtime/errors.js"
import { add, apply, fetch, lane, literal, ramp, splat, variable, vector } from "../../ir/expression.js"
import { memoized } from "../../ir/memoized.js"
import type { Expression, Fetch } from "../../ir/nodes.js"
import type { Context } from "../text/dialect.js"
import { partName, printed, unrolling } from "../text/expression.js"
import { bare } from "../text/literals.js"
import { type ArrayLayout, inWords, type Layouts, layoutOf, unitIndex } from "./arrays.js"

/** One or two expressions of at most 4 lanes, with offsets in units. */
export function inHalves(context: Context, layouts: Layouts, whole: Expression): readonly Expression[] {
  const halfMemo = [new Map<Expression, Expression>(), new Map<Expression, Expression>()] as const

  const narrow = unrolling(context, (x, again) => {
    if (x.kind === "lane" && x.of.width === 8) return lane(half(x.of, x.lane >> 2), x.lane & 3)
    if (x.kind === "fetch") return unitFetch(layouts, x, again(x.offset))
    return undefined
  })
  const halves = halfMemo.map((made, h) => memoized((x: Expression) => halved(x, h), made))
  const half = (x: Expression, h: number): Expression => (x.width === 8 ? halves[h]!(x) : narrow(x))
  const halved = (x: Expression, h: number): Expression => {
    switch (x.kind) {
      case "operation":
        return apply(x.operation, ...x.args.map((a) => half(a, h)))
      case "variable":
        return variable(partName(x.name, 2, h), x.dtype, 4)
      case "splat":
        return splat(narrow(x.of), 4)
      case "ramp":
        return ramp(add(narrow(x.of), literal(4 * h)), 4)
      case "vector":
        return vector(x.args.slice(4 * h, 4 * h + 4).map(narrow))
      case "fetch": {
        const layout = layoutOf(layouts, x.array)
        if (layout.unit < 8)
          return unitFetch(layouts, fetch(x.array, x.offset, x.dtype, 4), add(narrow(x.offset), literal(4 * h)))
        wordsOf(x, layout)
        return halfMemo[h]!.get(x)!
      }
      default:
        throw fault(`'${x.kind}' of width ${x.width} does not occur in the loop language`)
    }
  }
  /** Eight packed values are one load of four words, shared by both halves. */
  const wordsOf = (x: Fetch, layout: ArrayLayout) => {
    const [index] = printed(context, [unitIndex(narrow(x.offset), 8)])
    const words = context.temporary()
    context.line(`let ${words} = ${context.names.find(x.array)}[${bare(index!)}];`)
    for (const [h, part] of ["xy", "zw"].entries()) {
      const name = context.temporary()
      context.line(`let ${name} = ${widen(context, layout, 4)}(${words}.${part});`)
      halfMemo[h]!.set(x, variable(`=${name}`, "f32", 4))
    }
  }
  return whole.width === 8 ? [half(whole, 0), half(whole, 1)] : [narrow(whole)]
}

/** The fetch with its offset in units; one packed element is selected from its pair. */
function unitFetch(layouts: Layouts, x: Fetch, offset: Expression): Expression {
  const layout = layoutOf(layouts, x.array)
  if (!inWords(layout) || x.width > 1)
    return fetch(x.array, unitIndex(offset, Math.min(layout.unit, x.width)), x.dtype, x.width)
  const pair = fetch(x.array, apply("shr", offset, literal(1)), x.dtype, 2)
  const odd = apply("eq", apply("bitand", offset, literal(1)), literal(1))
  return apply("select", odd, lane(pair, 1), lane(pair, 0))
}

/** The name of the function that makes f32 of packed values. */
export const widen = (context: Context, layout: ArrayLayout, width: number) =>
  context.library.use(`widen${layout.storage === "bf16" ? "Bf16" : "F16"}${width === 4 ? "x4" : ""}`)
