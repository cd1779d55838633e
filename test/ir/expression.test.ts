import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  add,
  apply,
  evaluate,
  fetch,
  freeVariables,
  lane,
  literal,
  print,
  ramp,
  reduce,
  rewrite,
  splat,
  substitute,
  symbol,
  TypeProblem,
  variable,
  vector,
  walk,
  withTable,
} from "../../compiler/ir/expression.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { type DType, type Operation, operation, operations, resultType, roundTo } from "../../compiler/ir/operations.js"

/** An expression as it was written, which nothing folds. */
type Tree =
  | { readonly kind: "literal" | "variable"; readonly dtype: DType; readonly value: number; readonly name: string }
  | { readonly kind: "operation"; readonly dtype: DType; readonly name: Operation; readonly args: readonly Tree[] }

const variables: Record<DType, readonly string[]> = {
  i32: ["i", "j"],
  u32: ["u", "v"],
  f32: ["x", "y"],
  bool: ["p", "q"],
}
const dtypes = ["i32", "u32", "f32", "bool"] as const

function numberOf(dtype: DType): fc.Arbitrary<number> {
  if (dtype === "bool") return fc.constantFrom(0, 1)
  const edges = [0, 1, -1, 2, 3, 31, 32, -2147483648, 2147483647]
  if (dtype !== "f32") return fc.oneof(fc.constantFrom(...edges), fc.integer()).map((x) => roundTo(dtype, x))
  return fc.oneof(
    fc.constantFrom(0, -0, 1, -1, 0.5, 3e38, 1e-45, 2 ** 31).map(Math.fround),
    fc.float({ noNaN: true, noDefaultInfinity: true }),
  )
}

/** The operations whose result is `dtype`, with the dtypes of their arguments. */
const makers = (dtype: DType): { name: Operation; args: DType[] }[] =>
  (Object.keys(operations) as Operation[]).flatMap((name) => {
    const { arity, rule } = operation(name)
    return dtypes
      .map((d) => (rule === "select" ? ["bool" as const, d, d] : Array<DType>(arity).fill(d)))
      .filter((args) => resultType(name, args) === dtype)
      .map((args) => ({ name, args }))
  })

const leaf = (dtype: DType): fc.Arbitrary<Tree> =>
  fc.oneof(
    numberOf(dtype).map((value): Tree => ({ kind: "literal", dtype, value, name: "" })),
    fc.constantFrom(...variables[dtype]).map((name): Tree => ({ kind: "variable", dtype, value: 0, name })),
  )

/** A tree of any operations, or of those in `only`. */
function tree(dtype: DType, depth: number, only?: ReadonlySet<Operation>): fc.Arbitrary<Tree> {
  if (depth === 0) return leaf(dtype)
  const choice = makers(dtype).filter(({ name }) => only?.has(name) ?? true)
  const node = fc.constantFrom(...choice).chain(({ name, args }) => {
    const made = args.map((d) => tree(d, depth - 1, only))
    // Divisors of indices are positive literals.
    if (name === "floordiv" || name === "floormod")
      made[1] = fc.integer({ min: 1, max: 9 }).map((value): Tree => ({ kind: "literal", dtype, value, name: "" }))
    return fc.tuple(...made).map((args): Tree => ({ kind: "operation", dtype, name, args }))
  })
  return fc.oneof({ weight: 1, arbitrary: leaf(dtype) }, { weight: 4, arbitrary: node })
}

const anyTree = fc.constantFrom(...dtypes).chain((dtype) => tree(dtype, 4))
const assignment = fc
  .tuple(...dtypes.flatMap((d) => variables[d].map((name) => numberOf(d).map((x) => [name, x] as const))))
  .map((pairs) => new Map(pairs))

function build(t: Tree): Expression {
  if (t.kind === "operation") return apply(t.name, ...t.args.map(build))
  return t.kind === "variable" ? variable(t.name, t.dtype) : literal(t.value, t.dtype)
}

function reference(t: Tree, values: ReadonlyMap<string, number>): number {
  if (t.kind === "operation")
    return roundTo(t.dtype, operation(t.name).evaluate(t.args[0]!.dtype, ...t.args.map((a) => reference(a, values))))
  return t.kind === "variable" ? values.get(t.name)! : t.value
}

const runs = { numRuns: 600 }

describe("constructors", () => {
  it("fold without changing a value", () =>
    fc.assert(
      fc.property(anyTree, assignment, (t, values) => {
        expect(evaluate(build(t), values)).toBe(reference(t, values))
      }),
      runs,
    ))

  it("fold the bits of any NaN to those of one", () => {
    const bits = (x: Expression) => apply("bits", x)
    const made = [apply("fromBits", literal(0x7fffffff, "u32")), apply("sqrt", literal(-1, "f32"))]
    for (const order of [made, [...made].reverse()])
      withTable(() => expect(order.map((x) => bits(x))).toEqual(order.map(() => literal(0x7fc00000, "u32"))))
  })

  it("fold index arithmetic without changing a value", () => {
    const only = new Set<Operation>(["add", "sub", "mul", "floordiv", "floormod", "min", "max", "lt", "eq", "select"])
    const index = fc.constantFrom("i32" as const, "u32" as const).chain((dtype) => tree(dtype, 5, only))
    fc.assert(
      fc.property(index, assignment, (t, values) => {
        expect(evaluate(build(t), values)).toBe(reference(t, values))
      }),
      runs,
    )
  })

  it("keep the dtype", () =>
    fc.assert(
      fc.property(anyTree, (t) => build(t).dtype === t.dtype),
      runs,
    ))

  it("intern: what is built twice is one object", () =>
    fc.assert(
      fc.property(anyTree, (t) => Object.is(build(t), build(t))),
      runs,
    ))

  it("intern in the table of their compilation", () => {
    const make = () => add(variable("i"), variable("j"))
    const inner = withTable(make)
    expect(inner).not.toBe(make())
    expect(inner).toEqual(make())
    expect(make()).toBe(make())
  })

  it("tell apart what differs in one part only", () => {
    const all = [
      variable("a"),
      variable("a", "u32"),
      variable("a", "i32", 4),
      symbol("a", 4, 4),
      symbol("a", 8, 4),
      literal(0),
      literal(0, "u32"),
      literal(0, "f32"),
      literal(-0, "f32"),
      literal(0, "bool"),
      fetch("a", literal(0), "f32"),
      fetch("a", literal(0), "f32", 2),
      fetch("a", literal(0), "i32"),
    ]
    expect(new Set(all).size).toBe(all.length)
  })

  it("keep the width when a neutral element folds", () => {
    const mask = variable("m", "bool", 4)
    for (const name of ["and", "or"] as const)
      for (const value of [0, 1])
        for (const args of [[literal(value, "bool"), mask] as const, [mask, literal(value, "bool")] as const])
          expect(apply(name, ...args).width).toBe(4)
  })

  it("simplify index arithmetic", () => {
    const [i, j] = [variable("i"), variable("j")]
    const text = (x: Expression) => print(x)
    expect(text(add(literal(3), i))).toBe("(i + 3)")
    expect(text(add(add(i, literal(3)), literal(4)))).toBe("(i + 7)")
    expect(text(apply("sub", add(i, literal(3)), literal(3)))).toBe("i")
    expect(text(apply("sub", add(i, j), i))).toBe("j")
    expect(text(apply("mul", apply("mul", i, literal(3)), literal(4)))).toBe("(i * 12)")
    expect(text(apply("sub", i, literal(-2147483648)))).toBe("(i + -2147483648)")
  })

  it("refuse what has no type or is out of range", () => {
    expect(() => apply("add", variable("i"), variable("x", "f32"))).toThrow(TypeProblem)
    expect(() => literal(1e39, "f32")).toThrow("the literal 1e+39 is no value of f32")
  })

  it("fold as the table says, into what is not finite, too", () => {
    const infinity = literal(Number.POSITIVE_INFINITY, "f32")
    expect(apply("div", literal(1, "f32"), literal(0, "f32"))).toBe(infinity)
    expect(apply("mul", literal(3e38, "f32"), literal(3e38, "f32"))).toBe(infinity)
    expect(print(apply("sub", infinity, infinity))).toBe("NaN")
    const x = variable("x", "f32")
    for (const kept of [apply("mul", x, literal(0, "f32")), apply("sub", x, x), apply("div", x, x), apply("eq", x, x)])
      expect(kept.kind).toBe("operation")
  })

  it("take a lane without a vector where they can", () => {
    const [i, x] = [variable("i"), variable("x", "f32", 4)]
    expect(lane(splat(i, 4), 2)).toBe(i)
    // A scalar that became a vector when it was translated is in all lanes already.
    const wide = variable("w", "f32", 4)
    expect(splat(wide, 4)).toBe(wide)
    expect(lane(vector([i, literal(5)]), 1)).toBe(literal(5))
    expect(lane(ramp(i, 4), 2)).toBe(add(i, literal(2)))
    expect(lane(x, 2).kind).toBe("lane")
    expect(lane(i, 0)).toBe(i)
  })
})

describe("substitution", () => {
  it("is evaluation in two steps", () =>
    fc.assert(
      fc.property(anyTree, tree("i32", 2), tree("f32", 2), assignment, (t, i, x, values) => {
        const [a, b] = [build(i), build(x)]
        const inner = new Map(values)
        inner.set("i", evaluate(a, values))
        inner.set("x", evaluate(b, values))
        const replaced = substitute(
          build(t),
          new Map([
            ["i", a],
            ["x", b],
          ]),
        )
        expect(evaluate(replaced, values)).toBe(evaluate(build(t), inner))
      }),
      runs,
    ))

  it("of nothing, and a rewriting that replaces nothing, give the same object", () =>
    fc.assert(
      fc.property(anyTree, (t) => {
        const x = build(t)
        expect(substitute(x, new Map())).toBe(x)
        expect(rewrite(x, () => undefined)).toBe(x)
      }),
      runs,
    ))

  it("keeps a DAG one", () => {
    let x: Expression = variable("x", "f32")
    for (let depth = 0; depth < 200; depth++) x = apply("mul", x, x)
    const y = substitute(x, new Map([["x", variable("y", "f32")]]))
    let nodes = 0
    walk(y, () => nodes++)
    expect(nodes).toBe(201)
    expect([...freeVariables(y)]).toEqual(["y"])
  })
})

describe("free variables", () => {
  it("are those that occur, and only they matter", () =>
    fc.assert(
      fc.property(anyTree, assignment, assignment, (t, values, others) => {
        const x = build(t)
        const occurring = new Set<string>()
        walk(x, (node) => node.kind === "variable" && occurring.add(node.name))
        expect(freeVariables(x)).toEqual(occurring)
        const mixed = new Map([...others, ...[...values].filter(([name]) => occurring.has(name))])
        expect(evaluate(x, mixed)).toBe(evaluate(x, values))
      }),
      runs,
    ))

  it("leave out the axis that a reduction binds, but not in its extent", () => {
    const [i, k] = [variable("i"), variable("k")]
    const body = apply("toF32", add(i, k))
    expect([...freeVariables(reduce("k", literal(4), sum, [body]))]).toEqual(["i"])
    expect([...freeVariables(reduce("k", add(k, literal(1)), sum, [body]))].sort()).toEqual(["i", "k"])
  })
})

describe("text", () => {
  it("is one line with the signs of the operations", () => {
    const [i, n] = [variable("i"), symbol("length", 9, 9)]
    expect(print(apply("select", apply("lt", i, n), fetch("x", i, "f32"), literal(0, "f32")))).toBe(
      "select((i < length), x[i], 0.0)",
    )
    expect(print(apply("floormod", apply("floordiv", i, literal(4)), literal(8)))).toBe("((i // 4) mod 8)")
    expect(print(fetch("x", i, "f32", 4))).toBe("x[i : 4]")
    expect(print(literal(1, "bool"))).toBe("true")
    expect(print(literal(0.5, "f32"))).toBe("0.5")
  })
  it("spells every f32 as a number of f32", () => {
    expect([-0, 1, 1e21, -3.4028234663852886e38].map((x) => print(literal(x, "f32")))).toEqual([
      "-0.0",
      "1.0",
      "1.0000000200408773e+21",
      "-3.4028234663852886e+38",
    ])
  })
})
