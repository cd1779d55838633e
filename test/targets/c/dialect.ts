/**
 * C as a dialect: what keeps the shared printer honest. Vectors of all widths are structs, arrays are pointers to their storage, a lane is a
 * thread.
 *
 *   store y[4i : 4] ← x[4i : 4] · 2   →   save_f32x4(y + (i * 4), mul_f32x4(load_f32x4(x + (i * 4)), splat_f32x4(2.0f)));
 */
import { operands } from "../../../compiler/ir/expression.js"
import type { LoopKernel, Statement, Storage } from "../../../compiler/ir/loop.js"
import { everyStatement } from "../../../compiler/ir/loop-visit.js"
import type { Expression, Literal } from "../../../compiler/ir/nodes.js"
import { expand } from "../../../compiler/targets/expand.js"
import type { Context, Dialect, ValueType } from "../../../compiler/targets/text/dialect.js"
import { printed, spelled, unrolling } from "../../../compiler/targets/text/expression.js"
import { argument, bare, literalText, shortest } from "../../../compiler/targets/text/literals.js"
import { callOf } from "../../../compiler/targets/text/operations.js"
import { cHelper, cOperations, helperStems, lacking, typeText, wideStem } from "./operations.js"

export const storedType = (storage: Storage): string => (storage === "bool" ? "u32" : storage)

export function cDialect(kernel: LoopKernel): Dialect {
  const storages = new Map<string, Storage>(kernel.buffers.map((b) => [b.name, b.storage]))
  for (const s of everyStatement(kernel.body)) if (s.kind === "alloc") storages.set(s.name, s.storage ?? s.dtype)
  const expansions = new Map<Expression, Expression>()
  const access = (array: string, width: number) => typeSuffix(storages.get(array)!, width)
  return {
    reserved,
    helper: cHelper,
    literal: numberText,
    vector: (type, parts) => {
      const name = typeText(type.dtype, type.width)
      const list = parts.map(argument).join(", ")
      return parts.length === 1 ? `splat_${name}(${list})` : `(${name}){{${list}}}`
    },
    ramp: (width, of) => `(i32x${width}){{${Array.from({ length: width }, (_, i) => `${of} + ${i}`).join(", ")}}}`,
    lane: (text, lane) => `${text}.at[${lane}]`,
    operation: (context, x, given) => {
      const c = callOf(
        context,
        x,
        given.map(({ text }) => text),
      )
      const whole = x.width === 1 || (x.operation === "select" && x.args[0]!.width === 1)
      if (whole) return { text: cOperations[x.operation](c) }
      const name = context.library.use(wideStem(x.operation, c.dtype), x.width)
      return { text: `${name}(${c.args.map(argument).join(", ")})` }
    },
    operands,
    namesConstants: false,
    fetch: (context, x, offset) => {
      const array = spelled(context, x.array)
      const from = x.width === 1 ? `${array}[${bare(offset)}]` : `${array} + ${offset}`
      return `load_${access(x.array, x.width)}(${from})`
    },
    repeatsOffset: () => false,
    lowered: (context, x) => [unrolling(context)(expand(x, lacking, expansions))],
    declaration: (name, type, value, mutable) =>
      `${mutable ? "" : "const "}${typeText(type.dtype, type.width)} ${name} = ${value};`,
    array: ({ name: key, size, space }, name) =>
      `${space === "shared" ? "static " : ""}${storedType(storages.get(key)!)} ${name}[${Math.max(1, size)}];`,
    store: (context, s) => printStore(context, access(s.array, s.value.width), s),
    barrier: (context) => context.line("barrier();"),
    shuffle: (text, type, mask) => `exchange_${typeText(type.dtype, type.width)}(${argument(text)}, ${mask})`,
    loop: ({ variable: i, start, limit, step }) => `for (i32 ${i} = ${start}; ${i} < ${limit}; ${i} += ${step}) {`,
    extent: (_, extent) => String(extent),
    laneNumber: "lane",
    workgroup: "workgroup",
    workgroups: "workgroups",
  }
}

const typeSuffix = (storage: Storage, width: number) => (width === 1 ? storage : `${storage}x${width}`)

function printStore(c: Context, access: string, s: Statement & { kind: "store" }): void {
  const roots = [s.value, s.offset].flatMap((x) => c.dialect.lowered(c, x))
  const [value, offset] = printed(c, roots) as [string, string]
  const array = spelled(c, s.array)
  if (s.value.width === 1) c.line(`${array}[${bare(offset)}] = save_${access}(${argument(value)});`)
  else c.line(`save_${access}(${array} + ${offset}, ${argument(value)});`)
}

function numberText(x: Literal): string {
  // The smallest integer has no literal of its own type.
  if (x.dtype === "i32" && x.value === -(2 ** 31)) return "(-2147483647 - 1)"
  return literalText(x, (value) => {
    if (Number.isNaN(value)) return "NAN"
    if (!Number.isFinite(value)) return value > 0 ? "INFINITY" : "(-INFINITY)"
    const digits = shortest(Math.abs(value))
    const text = `${/[.e]/.test(digits) ? digits : `${digits}.0`}f`
    return value < 0 || Object.is(value, -0) ? `(-${text})` : text
  })
}

const types: readonly ValueType["dtype"][] = ["f32", "i32", "u32", "bool"]
const reserved: ReadonlySet<string> = new Set([
  ..."alignas alignof and asm auto bool break case catch char class const constexpr continue decltype default delete do double else enum explicit export extern false float for friend goto if inline int long mutable namespace new noexcept not nullptr operator or private protected public register restrict return short signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void volatile while xor".split(
    " ",
  ),
  ..."lane barrier bits fromBits bf16 f16 memory symbols workgroup workgroups launch meeting NAN INFINITY fmodf fabsf floorf ceilf rintf truncf sqrtf".split(
    " ",
  ),
  ...types,
  ...helperStems,
  // What prelude.h defines for each type and width; arrays that lanes exchange values through are called alike.
  ...[...types, "bf16", "f16"].flatMap((type) =>
    ["", "x2", "x4", "x8"].flatMap((width) =>
      ["load", "save", "exchange", "splat"].map((name) => `${name}_${type}${width}`),
    ),
  ),
])
