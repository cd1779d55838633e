/**
 * CUDA as a dialect: arrays are pointers to their storage, vectors are structs of the prelude, and an access of any width is one cast and one
 * load. Shared arrays lie one behind the other in the block's pool.
 *
 *   store y[4i : 4] ← x[4i : 4] · 2   →   store(y + (i * 4), load<4>(x + (i * 4)) * splat<f32x4>(2.0f));
 */
import { fault } from "../../../runtime/errors.js"
import { operands } from "../../ir/expression.js"
import { type LoopBuffer, type LoopKernel, packed, type Statement, type Storage, storageBytes } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
import type { Expression, Fetch, Literal } from "../../ir/nodes.js"
import { expand } from "../expand.js"
import type { Context, Dialect } from "../text/dialect.js"
import { printed, spelled, unrolling } from "../text/expression.js"
import { argument, bare, literalText, shortest } from "../text/literals.js"
import { callOf } from "../text/operations.js"
import { isUnrolled } from "./loops.js"
import { cudaOperations, lacking, typeText } from "./operations.js"
import { reserved } from "./words.js"

export const storedType = (storage: Storage): string => (storage === "bool" ? "truth" : storage)

/** Bytes at whose multiples shared arrays begin: those of the widest access. */
const alignment = 16

interface ArrayFacts {
  readonly storage: Storage
  /** Whether no launch writes it. */
  readonly steady?: boolean | undefined
  readonly once?: boolean | undefined
  readonly space: "buffer" | "shared" | "register"
}

export interface CudaDialect extends Dialect {
  /** Bytes of all shared arrays that were declared. */
  readonly sharedBytes: () => number
}

export function cudaDialect(kernel: LoopKernel): CudaDialect {
  const arrays = new Map<string, ArrayFacts>(
    kernel.buffers.map((b) => [b.name, { storage: b.storage, space: "buffer", steady: b.steady, once: b.once }]),
  )
  for (const s of everyStatement(kernel.body))
    if (s.kind === "alloc") arrays.set(s.name, { storage: s.storage ?? s.dtype, space: s.space })
  const registers = new Set([...arrays].flatMap(([name, { space }]) => (space === "register" ? [name] : [])))
  const expansions = new Map<Expression, Expression>()
  let shared = 0
  return {
    reserved,
    helper: (stem) => ({ name: stem, text: "" }),
    literal: numberText,
    vector: (type, parts) => {
      const name = typeText(type.dtype, type.width)
      if (type.width === 1) return parts[0]!
      const list = parts.map(argument).join(", ")
      return parts.length === 1 ? `splat<${name}>(${list})` : `${name}{{${list}}}`
    },
    ramp: (width, of) => `ramp<${width}>(${argument(of)})`,
    lane: (text, lane) => `${text}.at[${lane}]`,
    operation: (context, x, given) => {
      const texts = given.map(({ text }) => text)
      const one = x.operation === "select" && x.width > 1 && x.args[0]!.width === 1
      if (one) return { text: `select(${texts.map(argument).join(", ")})` }
      return { text: cudaOperations[x.operation](callOf(context, x, texts)) }
    },
    operands,
    namesConstants: false,
    fetch: (context, x, offset) => fetchText(arrays.get(x.array)!, spelled(context, x.array), x, offset),
    repeatsOffset: () => false,
    lowered: (context, x) => [unrolling(context)(expand(x, lacking, expansions))],
    declaration: (name, type, value, mutable) =>
      `${mutable ? "" : "const "}${typeText(type.dtype, type.width)} ${name} = ${value};`,
    array: ({ name: key, size, space }, name) => {
      const { storage } = arrays.get(key)!
      const type = storedType(storage)
      if (space === "register") return `${type} ${name}[${Math.max(1, size)}];`
      const at = shared
      shared += Math.ceil((Math.max(1, size) * storageBytes(storage)) / alignment) * alignment
      return `${type}* const ${name} = (${type}*)(shared_pool + ${at / alignment});`
    },
    store: (context, s) => printStore(context, arrays.get(s.array)!, s),
    barrier: (context) => context.line("barrier();"),
    early: (context, s) => {
      if (s.kind !== "prefetch") return context.line(`${s.kind}_launches();`)
      const [offset] = printed(context, context.dialect.lowered(context, s.offset))
      context.line(`prefetch(${spelled(context, s.array)} + ${offset});`)
    },
    fragments: (_, s) => {
      throw fault(`'${s.kind}' is not printed`)
    },
    shuffle: (text, _, mask) => `exchange(${argument(text)}, ${mask})`,
    loop: ({ variable: i, start, limit, step }, s) => [
      ...(isUnrolled(s, registers) ? ["#pragma unroll"] : []),
      `for (i32 ${i} = ${start}; ${i} < ${limit}; ${i} += ${step}) {`,
    ],
    extent: (_, extent) => String(extent),
    laneNumber: "lane_number()",
    workgroup: "workgroup_number()",
    workgroups: "workgroup_count()",
    sharedBytes: () => shared,
  }
}

/** Whether an element is a value of C++ as it lies in memory. */
const isPlain = (storage: Storage): boolean => !packed(storage) && storage !== "bool"

function fetchText({ storage, space, steady, once }: ArrayFacts, array: string, x: Fetch, offset: string): string {
  const from = `${array} + ${offset}`
  if (steady) return `load<${x.width === 1 ? "" : `${x.width}, `}${once ? "Once" : "Steady"}>(${from})`
  if (x.width === 1 && isPlain(storage)) return `${array}[${bare(offset)}]`
  if (x.width === 1) return `load<Plain>(${from})`
  return space === "register" ? `gather<${x.width}>(${from})` : `load<${x.width}>(${from})`
}

function printStore(c: Context, { storage, space }: ArrayFacts, s: Statement & { kind: "store" }): void {
  const roots = [s.value, s.offset].flatMap((x) => c.dialect.lowered(c, x))
  const [value, offset] = printed(c, roots) as [string, string]
  const array = spelled(c, s.array)
  if (s.value.width === 1 && isPlain(storage)) c.line(`${array}[${bare(offset)}] = ${bare(value)};`)
  else {
    const name = s.value.width > 1 && space === "register" ? "scatter" : "store"
    c.line(`${name}(${array} + ${offset}, ${argument(value)});`)
  }
}

function numberText(x: Literal): string {
  // The smallest integer has no literal of its own type.
  if (x.dtype === "i32" && x.value === -(2 ** 31)) return "(-2147483647 - 1)"
  return literalText(x, (value) => {
    if (Number.isNaN(value)) return "from_bits(0x7fc00000u)"
    if (!Number.isFinite(value)) return `from_bits(${value > 0 ? "0x7f800000u" : "0xff800000u"})`
    const digits = shortest(Math.abs(value))
    const text = `${/[.e]/.test(digits) ? digits : `${digits}.0`}f`
    return value < 0 || Object.is(value, -0) ? `(-${text})` : text
  })
}

/** The parameter of a buffer. */
export const parameterText = ({ storage, access }: LoopBuffer, name: string): string =>
  `${access === "read" ? "const " : ""}${storedType(storage)}* ${name}`
