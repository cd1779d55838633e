/**
 * Statements without an instruction of their own, as loops: matrix multiplication by one lane, and staged copies.
 *
 *   c[8, 8] += a[8, k] · b[k, 8]   →   for rows of 4 { 4 accumulators of width 8; for k { b; 4 × (c += splat(a) · b) } }
 *
 * Register tiles are at most 4 × 8: eight accumulators, two vectors of b and one of a fit into sixteen vector registers; larger ones spill.
 */
import { add, apply, fetch, literal, mul, splat, sub, variable } from "../../ir/expression.js"
import type { MatrixOperand, Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { DType } from "../../ir/operations.js"

type Of<K extends Statement["kind"]> = Extract<Statement, { kind: K }>

const divisor = (of: number, candidates: readonly number[]) => candidates.find((c) => of % c === 0) ?? 1
const serial = (variable: string, extent: Expression, body: readonly Statement[]): Statement => ({
  kind: "for",
  variable,
  extent,
  bind: "serial",
  body,
})
const range = (n: number) => Array.from({ length: n }, (_, i) => i)

/** c[m, n] += Σ_k a[m, k] · b[k, n]. */
export function matrixLoops(s: Of<"matrixMultiply">, dtype: DType): readonly Statement[] {
  const rows = divisor(s.m, [4, 2])
  const columns = divisor(s.n, [8, 4])
  const row = variable("#row")
  const column = variable("#column")
  const k = variable("#k")
  const at = (o: MatrixOperand, r: Expression, c: Expression) => add(add(o.offset, mul(r, literal(o.stride))), c)
  const rowOf = (r: number) => add(mul(row, literal(rows)), literal(r))
  const firstColumn = mul(column, literal(columns))
  const sumOf = (r: number) => variable(`#sum${r}`, dtype, columns)
  const right = variable("#right", dtype, columns)
  const left = (r: number) => splat(fetch(s.a.array, at(s.a, rowOf(r), k), dtype), columns)
  const target = (r: number) => at(s.c, rowOf(r), firstColumn)
  const inner: Statement[] = [
    { kind: "let", name: right.name, value: fetch(s.b.array, at(s.b, k, firstColumn), dtype, columns), mutable: false },
    ...range(rows).map(
      (r): Statement => ({
        kind: "assign",
        name: sumOf(r).name,
        value: apply("add", sumOf(r), apply("mul", left(r), right)),
      }),
    ),
  ]
  const tile: Statement[] = [
    ...range(rows).map(
      (r): Statement => ({
        kind: "let",
        name: sumOf(r).name,
        value: fetch(s.c.array, target(r), dtype, columns),
        mutable: true,
      }),
    ),
    serial(k.name, literal(s.k), inner),
    ...range(rows).map((r): Statement => ({ kind: "store", array: s.c.array, offset: target(r), value: sumOf(r) })),
  ]
  return [serial(row.name, literal(s.m / rows), [serial(column.name, literal(s.n / columns), tile)])]
}

/** Alone a lane copies four elements at a time; one of several takes every lanes-th element. */
export function copyLoops(s: Of<"copy">, dtype: DType): readonly Statement[] {
  const i = variable("#element")
  const move = (index: Expression, width: number): Statement => ({
    kind: "store",
    array: s.to,
    offset: add(s.toOffset, index),
    value: fetch(s.from, add(s.fromOffset, index), dtype, width),
  })
  if (s.lanes === 1) {
    const whole = apply("floordiv", s.count, literal(4))
    const done = mul(whole, literal(4))
    return [
      serial(i.name, whole, [move(mul(i, literal(4)), 4)]),
      serial(i.name, sub(s.count, done), [move(add(done, i), 1)]),
    ]
  }
  const own = apply("floordiv", add(sub(s.count, s.lane), literal(s.lanes - 1)), literal(s.lanes))
  return [serial(i.name, own, [move(add(s.lane, mul(i, literal(s.lanes))), 1)])]
}
