/**
 * What is hidden from compilers of shaders, by its text: also what the adapter at hand does not fold but others do, and that what hot loops and
 * the expansions of functions compute is left as it is.
 */
import { describe, expect, test } from "vitest"
import { apply, literal, print, variable, withTable } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Operation } from "../../compiler/ir/operations.js"
import { wgslKernel } from "../../compiler/targets/wgsl/emit.js"
import { kernelOf } from "./special-terms.js"

const make =
  (name: Operation) =>
  (...args: Expression[]) =>
    apply(name, ...args)
const [add, sub, mul, div, select] = [make("add"), make("sub"), make("mul"), make("div"), make("select")]
const [abs, sqrt, exp, log] = [make("abs"), make("sqrt"), make("exp"), make("log")]
const real = (value: number) => literal(value, "f32")

type Terms = (x: Expression, y: Expression, z: Expression) => readonly Expression[]

const folded: Terms = (x, y, z) => [
  sub(add(x, y), x),
  sub(add(add(x, z), y), x),
  sub(add(add(x, real(1)), y), real(1)),
  add(mul(x, y), mul(z, x)),
  add(add(mul(x, y), real(1)), mul(z, x)),
  sub(mul(x, real(2)), add(x, x)),
  add(x, mul(y, sub(z, x))),
  div(mul(x, y), x),
  mul(x, div(y, x)),
  mul(sqrt(x), sqrt(x)),
  mul(mul(sqrt(x), y), sqrt(x)),
  div(x, sqrt(x)),
  ...(["le", "ge", "eq", "ne"] as const).map((c) => select(apply(c, sub(x, y), real(0)), real(3), real(2))),
  select(apply("ge", abs(x), real(0)), real(3), real(2)),
  select(apply("le", apply("neg", abs(x)), real(1)), real(3), real(2)),
  select(apply("lt", add(x, y), x), real(3), real(2)),
  select(apply("lt", x, y), x, y),
  mul(x, real(0)),
]

const left: Terms = (x, y, z) => [
  add(x, x),
  sub(x, sub(y, z)),
  add(mul(x, y), add(z, mul(y, y))),
  add(add(z, mul(x, y)), mul(y, y)),
  mul(x, add(y, real(1))),
  select(apply("lt", sub(x, y), real(0)), real(3), real(2)),
  select(apply("le", sub(x, real(1)), real(0)), real(3), real(2)),
  select(apply("ge", abs(x), y), real(3), real(2)),
  select(apply("ge", abs(x), sqrt(y)), real(3), real(2)),
  select(apply("le", add(mul(x, x), mul(y, y)), real(4)), real(3), real(2)),
  exp(sub(x, y)),
  div(x, add(real(1), exp(apply("neg", x)))),
  log(x),
]

const hiddenIn = (terms: Terms, unrolled: boolean): readonly [string, number][] =>
  withTable(() => {
    const [x, y] = [variable("x", "f32"), variable("y", "f32")]
    return terms(x, y, apply("floor", y)).map((term) => {
      const { source } = wgslKernel(kernelOf([{ term, width: 1, unrolled }]), { symbolOrder: [] })
      return [print(term), source.split("bitcast<u32>(zero) &").length - 1]
    })
  })

describe.each([true, false])("operands of terms (loop unrolled: %s)", (unrolled) => {
  test("one is hidden where a compiler that computes with real numbers may fold", () => {
    expect(hiddenIn(folded, unrolled).filter(([, hidden]) => hidden === 0)).toEqual([])
  })
  test("none is hidden elsewhere", () => {
    expect(hiddenIn(left, unrolled).filter(([, hidden]) => hidden > 0)).toEqual([])
  })
})
