/**
 * halve: loop → loop. Sums of products that read halves are taken in f16, a few at a time; what they are added to stays f32.
 *
 *   acc = acc + a · b;  acc = acc + c · d     with b and d in bf16   →   acc = acc + half(half(a · b) + half(c · d)), all factors rounded to f16
 *
 * Only runs of `least` products and more: a shorter sum is not worth its conversions. Products of a value with itself (statistics) stay f32,
 * since their range is that of a square.
 */
import { add, apply, freeVariables, identity, mul, operands, variable } from "../ir/expression.js"
import { type LoopKernel, packed, type Statement } from "../ir/loop.js"
import { everyStatement } from "../ir/loop-visit.js"
import type { Expression } from "../ir/nodes.js"

/** Products that are summed in f16 before they are added in f32. */
const least = 4
const most = 8

interface Kernel {
  /** Arrays with two elements to a word. */
  readonly halves: ReadonlySet<string>
  /** What immutable variables stand for. */
  readonly lets: ReadonlyMap<string, Expression>
  readonly fresh: () => string
}

/** name = name + a · b, at a place of a list of statements. */
interface Added {
  readonly at: number
  readonly factors: readonly [Expression, Expression]
}

export function halveProducts(kernel: LoopKernel): LoopKernel {
  const statements = everyStatement(kernel.body)
  const halves = new Set(kernel.buffers.flatMap((b) => (packed(b.storage) ? [b.name] : [])))
  const lets = new Map<string, Expression>()
  const taken = new Set<string>()
  for (const s of statements) {
    if (s.kind === "alloc" && s.storage !== undefined) halves.add(s.name)
    if (s.kind === "let" && !s.mutable) lets.set(s.name, s.value)
    if (s.kind === "for") taken.add(s.variable)
    if (s.kind === "let" || s.kind === "alloc" || s.kind === "shuffle") taken.add(s.name)
  }
  let count = 0
  const fresh = (): string => {
    const name = `half_${count++}`
    return taken.has(name) ? fresh() : name
  }
  return halves.size === 0 ? kernel : { ...kernel, body: visit(kernel.body, { halves, lets, fresh }) }
}

function visit(body: readonly Statement[], k: Kernel): readonly Statement[] {
  const out: Statement[] = []
  let straight: Statement[] = []
  const flush = () => {
    out.push(...halved(straight, k))
    straight = []
  }
  for (const s of body) {
    if (s.kind === "let" || s.kind === "assign") {
      straight.push(s)
      continue
    }
    flush()
    if (s.kind === "for" || s.kind === "block") out.push({ ...s, body: visit(s.body, k) })
    else if (s.kind === "if") out.push({ ...s, body: visit(s.body, k), otherwise: visit(s.otherwise, k) })
    else out.push(s)
  }
  flush()
  return out
}

/** Statements that bind and assign only. */
function halved(body: readonly Statement[], k: Kernel): readonly Statement[] {
  const assigned = new Set(body.flatMap((s) => (s.kind === "assign" ? [s.name] : [])))
  const runs = new Map<string, Added[]>()
  const spoilt = new Set<string>()
  for (const [at, s] of body.entries()) {
    const product = s.kind === "assign" ? addedProduct(s, assigned, k) : undefined
    if (s.kind === "assign" && product !== undefined) {
      runs.set(s.name, [...(runs.get(s.name) ?? []), { at, factors: product }])
    } else if (s.kind === "let" || s.kind === "assign") {
      // What is read or assigned otherwise is not a sum alone.
      if (s.kind === "assign") spoilt.add(s.name)
      for (const name of freeVariables(s.value)) spoilt.add(name)
    }
  }
  const sums = new Map<number, { readonly name: string; readonly products: readonly Added[] }>()
  const gone = new Set<number>()
  for (const [name, all] of runs) {
    if (spoilt.has(name)) continue
    for (let from = 0; from < all.length; from += most) {
      const products = all.slice(from, from + most)
      if (products.length < least) continue
      for (const p of products) gone.add(p.at)
      sums.set(products.at(-1)!.at, { name, products })
    }
  }
  if (sums.size === 0) return body
  const out: Statement[] = []
  const rounded = new Map<string, Expression>()
  const factor = (x: Expression): Expression => {
    const key = String(identity(x))
    const known = rounded.get(key)
    if (known !== undefined) return known
    const name = k.fresh()
    out.push({ kind: "let", name, value: apply("half", x), mutable: false })
    const made = apply("half", variable(name, x.dtype, x.width))
    rounded.set(key, made)
    return made
  }
  for (const [at, s] of body.entries()) {
    const sum = sums.get(at)
    if (sum !== undefined && s.kind === "assign") {
      const products = sum.products.map(({ factors: [a, b] }) => apply("half", mul(factor(a), factor(b))))
      const value = products.reduce((x, y) => apply("half", add(x, y)))
      out.push({ ...s, value: add(variable(s.name, value.dtype, value.width), value) })
    } else if (!gone.has(at)) out.push(s)
  }
  return out
}

function addedProduct(
  { name, value }: Extract<Statement, { kind: "assign" }>,
  assigned: ReadonlySet<string>,
  k: Kernel,
): readonly [Expression, Expression] | undefined {
  if (value.kind !== "operation" || value.operation !== "add" || value.dtype !== "f32") return undefined
  const own = value.args.findIndex((a) => a.kind === "variable" && a.name === name)
  const product = value.args[1 - own]
  if (own < 0 || product?.kind !== "operation" || product.operation !== "mul") return undefined
  const [a, b] = product.args as [Expression, Expression]
  const changes = [...freeVariables(product)].some((v) => assigned.has(v))
  return changes || a === b || !(readsHalves(a, k) || readsHalves(b, k)) ? undefined : [a, b]
}

/** Whether a value is an element of an array of halves, or a lane of one. */
function readsHalves(x: Expression, k: Kernel): boolean {
  if (x.kind === "fetch") return k.halves.has(x.array)
  if (x.kind === "variable") {
    const value = k.lets.get(x.name)
    return value !== undefined && readsHalves(value, k)
  }
  return (x.kind === "lane" || x.kind === "splat" || x.kind === "vector") && operands(x).every((o) => readsHalves(o, k))
}
