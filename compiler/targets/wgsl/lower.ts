/**
 * The composite statements in terms of the plain ones, so that the printer knows only those.
 *
 *   copy tile[0…] ← w[base…], 256 elements, 64 lanes
 *   → for i < 1 { store tile[(i * 64 + lane) * 4] ← w[base + (i * 64 + lane) * 4 : 4] }     offsets that divide by 4 move in vectors
 *
 *   c[2, 2] += a[2, 8] · b[8, 2]
 *   → for k < 8 { let a0 = a[k]; let a1 = …; let b0 = …; let b1 = …; store c[0] ← c[0] + a0 * b0; … }
 *
 * A matrix product keeps one accumulator per element and adds in the order of k.
 */
import { add, apply, fetch, isLiteral, literal, mul, variable } from "../../ir/expression.js"
import type { LoopKernel, MatrixOperand, Statement } from "../../ir/loop.js"
import { storageType } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"
import type { DType } from "../../ir/operations.js"

/** The dtypes of buffers and allocations by name. */
export function arrayTypes(kernel: LoopKernel): ReadonlyMap<string, DType> {
  const types = new Map<string, DType>(kernel.buffers.map((b) => [b.name, storageType(b.storage)]))
  for (const s of everyStatement(kernel.body)) if (s.kind === "alloc") types.set(s.name, s.dtype)
  return types
}

/** The largest of 8, 4, 2, 1 that is known to divide an index. */
export function divisor(x: Expression): number {
  if (isLiteral(x)) return [8, 4, 2].find((d) => x.value % d === 0) ?? 1
  if (x.kind === "splat") return divisor(x.of)
  if (x.kind !== "operation" || x.dtype === "f32" || x.dtype === "bool") return 1
  const [a, b] = x.args.map(divisor) as [number, number]
  switch (x.operation) {
    case "mul":
      return Math.min(8, a * b)
    case "add":
    case "sub":
    case "min":
    case "max":
    case "bitor":
      return Math.min(a, b)
    case "select":
      return Math.min(divisor(x.args[1]!), divisor(x.args[2]!))
    case "neg":
      return a
    default:
      return 1
  }
}

export function lowerComposites(kernel: LoopKernel): readonly Statement[] {
  const types = arrayTypes(kernel)
  let fresh = 0
  const body = (statements: readonly Statement[]): readonly Statement[] => statements.flatMap(statement)
  const statement = (s: Statement): readonly Statement[] => {
    switch (s.kind) {
      case "for":
      case "block":
        return [{ ...s, body: body(s.body) }]
      case "if":
        return [{ ...s, body: body(s.body), otherwise: body(s.otherwise) }]
      case "copy":
        return [copyLoop(s, types, `copy${fresh++}`)]
      case "matrixMultiply":
        return [matrixLoop(s, types, `k${fresh++}`)]
      default:
        return [s]
    }
  }
  return body(kernel.body)
}

function copyLoop(s: Statement & { kind: "copy" }, types: ReadonlyMap<string, DType>, name: string): Statement {
  const dtype = types.get(s.from)!
  const width = Math.min(divisor(s.toOffset), divisor(s.fromOffset), divisor(s.count))
  const stride = s.lanes * width
  const i = variable(name)
  const at = mul(add(mul(i, literal(s.lanes)), s.lane), literal(width))
  const move: Statement = {
    kind: "store",
    array: s.to,
    offset: add(s.toOffset, at),
    value: fetch(s.from, add(s.fromOffset, at), dtype, width),
  }
  const whole = isLiteral(s.count) && s.count.value % stride === 0
  const guarded: Statement = { kind: "if", condition: apply("lt", at, s.count), body: [move], otherwise: [] }
  const extent = apply("div", add(s.count, literal(stride - 1)), literal(stride))
  return { kind: "for", variable: name, extent, bind: "serial", body: [whole ? move : guarded] }
}

function matrixLoop(
  s: Statement & { kind: "matrixMultiply" },
  types: ReadonlyMap<string, DType>,
  k: string,
): Statement {
  const at = (o: MatrixOperand, row: Expression, column: Expression) =>
    add(add(o.offset, mul(row, literal(o.stride))), column)
  const wide =
    [s.b.offset, s.c.offset].every((o) => divisor(o) >= 4) && [s.b.stride, s.c.stride, s.n].every((x) => x % 4 === 0)
  const width = wide ? 4 : 1
  const rows = Array.from({ length: s.m }, (_, m) => m)
  const columns = Array.from({ length: s.n / width }, (_, n) => n * width)
  const dtype = types.get(s.c.array)!
  const bind = (name: string, value: Expression): Statement => ({ kind: "let", name, value, mutable: false })
  return {
    kind: "for",
    variable: k,
    extent: literal(s.k),
    bind: "serial",
    body: [
      ...rows.map((m) => bind(`${k}a${m}`, fetch(s.a.array, at(s.a, literal(m), variable(k)), dtype))),
      ...columns.map((n) => bind(`${k}b${n}`, fetch(s.b.array, at(s.b, variable(k), literal(n)), dtype, width))),
      ...rows.flatMap((m) =>
        columns.map((n): Statement => {
          const offset = at(s.c, literal(m), literal(n))
          const product = mul(variable(`${k}a${m}`, dtype), variable(`${k}b${n}`, dtype, width))
          return {
            kind: "store",
            array: s.c.array,
            offset,
            value: add(fetch(s.c.array, offset, dtype, width), product),
          }
        }),
      ),
    ],
  }
}
