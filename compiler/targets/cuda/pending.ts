/**
 * What is under way while lanes go on, as CUDA: asynchronous copies to shared memory, and products of groups of warps.
 *
 *   copy tile[o : 8] = x[p : 8] if row < rows      →   copy_bytes<16>(swizzled<128>(tile, o), x + p, row < rows);
 *   for t < 4 { multiply c += a · b } commit       →   keep<64>(c); begin_products(); for (…) { multiply_…(…); } commit_products();
 *
 * Products read registers and shared memory on their own: what lanes have done to registers has to end before the first of them begins, what they
 * stored is shown to products before a barrier, and what comes of products is looked at after the wait only. Compilers are told so by `keep`.
 */
import { atoms } from "../../ir/fragments/atoms.js"
import { isTile, type LoopKernel, type Statement, type StatementOf, storageBytes, storageType } from "../../ir/loop.js"
import { everyStatement, withBodies } from "../../ir/loop-visit.js"
import { plainCopy } from "../atoms.js"
import type { Context } from "../text/dialect.js"
import { printed } from "../text/expression.js"
import { argument } from "../text/literals.js"
import { printBody } from "../text/statements.js"
import { placeTexts } from "./arrays.js"
import type { Fragments } from "./fragments.js"

/** Bytes that one asynchronous copy moves. */
const copied: ReadonlySet<number> = new Set([4, 8, 16])

export function printCopy(c: Context, known: Fragments, s: StatementOf<"copy">): void {
  const [to, from] = [known.arrays.get(s.to.array)!, known.arrays.get(s.from.array)!]
  const bytes = s.width * storageBytes(to.storage)
  // Fewer bytes, or others than in memory, a lane moves itself.
  if (!copied.has(bytes) || to.storage !== from.storage) {
    printBody(c, [plainCopy(s, storageType(to.storage))])
    return
  }
  known.use("copies")
  const places = placeTexts(c, known.arrays, [s.to, s.from])
  const valid = s.valid === undefined ? [] : printed(c, c.dialect.lowered(c, s.valid)).map(argument)
  c.line(`copy_bytes<${bytes}>(${[...places, ...valid].join(", ")});`)
}

export function printOrder(c: Context, known: Fragments, s: StatementOf<"commit" | "wait">): void {
  known.use(s.of)
  c.line(s.kind === "commit" ? `commit_${s.of}();` : `wait_${s.of}<${s.groups}>();`)
  if (s.kind === "wait" && s.of === "products") keep(c, known, readyAt(known.kernel.body, s))
}

/** Results that no product is added to any more after a wait; of those that may still be under way nobody looks at one. */
function readyAt(body: readonly Statement[], at: StatementOf<"wait">): ReadonlySet<string> {
  const all = resultsOf(body)
  if (at.groups === 0) return all
  const { list, isLoop } = among(body, at)!
  const place = list.indexOf(at)
  // What stands behind it in a loop has gone before it, too.
  const before = [...list.slice(0, place).reverse(), ...(isLoop ? list.slice(place).reverse() : [])]
  const commits = before.flatMap((s, i) => (s.kind === "commit" && s.of === "products" ? [i] : []))
  const end = commits[at.groups]
  if (end === undefined) return new Set()
  const pending = resultsOf(before.slice(0, end))
  return new Set([...all].filter((name) => !pending.has(name)))
}

interface Around {
  readonly list: readonly Statement[]
  readonly isLoop: boolean
}

/** The statements among which one is. */
function among(list: readonly Statement[], at: Statement, isLoop = false): Around | undefined {
  let found: Around | undefined = list.includes(at) ? { list, isLoop } : undefined
  for (const s of list)
    withBodies(s, (body) => {
      found ??= among(body, at, s.kind === "for")
      return body
    })
  return found
}

/** Tells the compiler that these arrays may be other than it thinks. */
function keep(c: Context, known: Fragments, names: Iterable<string>): void {
  for (const name of names) {
    const text = c.names.find(name)
    const { size, pairs } = known.arrays.get(name)!
    if (text !== undefined) c.line(`keep<${pairs ? size / 2 : size}>(${text});`)
  }
}

const isProduct = (s: Statement): s is StatementOf<"multiply"> =>
  s.kind === "multiply" && atoms.get(s.atom)!.asynchronous
const productsIn = (body: readonly Statement[]) => everyStatement(body).filter(isProduct)
const resultsOf = (body: readonly Statement[]) => new Set(productsIn(body).map(({ c }) => c.array))

/** Whether a kernel has products that are carried out by themselves. */
export const hasProducts = (kernel: LoopKernel): boolean => productsIn(kernel.body).length > 0

/** Whether lanes store to shared memory themselves. What the copy engine brings is there for products without more. */
export const storesShared = (kernel: LoopKernel, arrays: Fragments["arrays"]): boolean =>
  everyStatement(kernel.body).some(
    (s) => s.kind === "copy" || s.kind === "drain" || (s.kind === "store" && arrays.get(s.array)?.space === "shared"),
  )

/** Whether a statement is nothing but products. */
const isProducts = (s: Statement): boolean =>
  isProduct(s) || ((s.kind === "for" || s.kind === "block") && s.body.length > 0 && s.body.every(isProducts))

/** The statements that are the first products after something else. */
export function firstProducts(body: readonly Statement[]): ReadonlySet<Statement> {
  const found = new Set<Statement>()
  const visit = (list: readonly Statement[]): readonly Statement[] => {
    for (const [i, s] of list.entries()) {
      if (!isProducts(s)) withBodies(s, visit)
      else if (i === 0 || !isProducts(list[i - 1]!)) found.add(s)
    }
    return list
  }
  visit(body)
  return found
}

/** What stands before the first of products: registers are as they are, whoever wrote them. */
export function beginProducts(c: Context, known: Fragments, s: Statement): void {
  known.use("products")
  const held = productsIn([s]).flatMap(({ c, a }) => (isTile(a) ? [c.array] : [c.array, a.array]))
  keep(c, known, new Set(held))
  c.line("begin_products();")
}
