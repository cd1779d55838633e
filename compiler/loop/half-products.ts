/**
 * half-products: loop → loop. Sums of products that read halves are taken in f16, a few at a time; what they are added to stays f32.
 *
 *   acc = acc + a · b;  acc = acc + c · d     with b and d in bf16   →   s = half(half(256 a · b) + half(256 c · d)), all factors rounded to f16
 *                                                                        if s is finite: acc = acc + s / 256, else as before
 *
 * Only runs of `least` products and more: a shorter sum is not worth its conversions. Products of a value with itself (statistics) stay f32,
 * since their range is that of a square; and so do kernels that store anything as f32: what is kept in full is computed in full, as is
 * whatever a choice hangs on (storage.ts).
 *
 * The range of f16 is narrow at both ends. Sums beyond 255 and factors that f16 does not hold leave an infinity or a NaN behind, and the
 * whole run is taken again in f32: its bits are looked at, since a compiler of shaders may take every number for finite. At the other end
 * products and first factors keep 11 bits down to 2^-22, second factors down to 2^-14; they lose one for each halving from there, and count
 * as 0 below 2^-33 and 2^-25.
 */
import { add, apply, freeVariables, identity, lane, literal, mul, operands, splat, variable } from "../ir/expression.js"
import { type LoopKernel, packed, type Statement } from "../ir/loop.js"
import { everyStatement, freshNames, withBodies } from "../ir/loop-visit.js"
import type { Expression } from "../ir/nodes.js"

/** Products that are summed in f16 before they are added in f32. */
const least = 4
const most = 8

/** What first factors are multiplied by, and sums divided: as much room above 1 as it takes, the rest below. */
const scale = 256
/** Bits of an f32 that is not finite, without its sign, are not below this. */
const infinite = 0x7f800000

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
  for (const s of statements) {
    if (s.kind === "alloc" && s.storage !== undefined) halves.add(s.name)
    if (s.kind === "let" && !s.mutable) lets.set(s.name, s.value)
  }
  const fresh = freshNames(kernel.body, "half_")
  const full = kernel.buffers.some((b) => b.access !== "read" && !packed(b.storage))
  return halves.size === 0 || full ? kernel : { ...kernel, body: visit(kernel.body, { halves, lets, fresh }) }
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
    out.push(withBodies(s, (inner) => visit(inner, k)))
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
  const sums = [...runs]
    .filter(([name, all]) => !spoilt.has(name) && all.length >= least)
    .flatMap(([name, all]) => groups(all).map((products) => ({ name, products })))
  if (sums.length === 0) return body
  const gone = new Set(sums.flatMap(({ products }) => products.map(({ at }) => at)))
  // Nothing reads an accumulator here, so all sums can wait for what the other statements bind.
  const out = body.filter((_, at) => !gone.has(at))
  const bind = (value: Expression): Expression => {
    const name = k.fresh()
    out.push({ kind: "let", name, value, mutable: false })
    return variable(name, value.dtype, value.width)
  }
  const rounded = new Map<string, Expression>()
  const factor = (x: Expression, by: number): Expression => {
    const key = `${by} ${identity(x)}`
    const known = rounded.get(key)
    if (known !== undefined) return known
    const scaled = by === 1 ? x : mul(x, splat(literal(by, "f32"), x.width))
    const made = apply("half", bind(apply("half", scaled)))
    rounded.set(key, made)
    return made
  }
  const halved: Statement[] = []
  let worst: Expression | undefined
  for (const { name, products } of sums) {
    const made = products.map(({ factors: [a, b] }) => apply("half", mul(factor(a, scale), factor(b, 1))))
    const sum = bind(made.reduce((x, y) => apply("half", add(x, y))))
    const { dtype, width } = sum
    halved.push({
      kind: "assign",
      name,
      value: add(variable(name, dtype, width), mul(sum, splat(literal(1 / scale, dtype), width))),
    })
    const size = apply("bitand", apply("bits", sum), splat(literal(0x7fffffff, "u32"), width))
    for (let i = 0; i < width; i++) {
      const one = width === 1 ? size : lane(size, i)
      worst = worst === undefined ? one : apply("max", worst, one)
    }
  }
  const again = body.filter((_, at) => gone.has(at))
  const finite = apply("lt", bind(worst!), literal(infinite, "u32"))
  out.push({ kind: "if", condition: finite, body: halved, otherwise: again })
  return out
}

/** Runs of at most `most`, and none that is too short. */
function groups(all: readonly Added[]): readonly (readonly Added[])[] {
  const count = Math.ceil(all.length / most)
  return Array.from({ length: count }, (_, i) =>
    all.slice(Math.floor((i * all.length) / count), Math.floor(((i + 1) * all.length) / count)),
  )
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
