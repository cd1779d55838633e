/**
 * numbers-first: loop → loop. What is one number for all lanes is read before the first barrier of a section, and not when it is needed: lanes wait
 * for memory once, along with what else is read there.
 *
 *   sums[lane] = x[…]; barrier; a = sums[…] · scale[0]; barrier; b = a + shift[0]
 *   →   let n0 = scale[0]; let n1 = shift[0]; sums[lane] = x[…]; barrier; a = sums[…] · n0; barrier; b = a + n1
 *
 * Numbers are buffers of one element that the kernel only reads. A section is a list of statements with a barrier after something else.
 */
import { fetch, isLiteral, literal, rewriter, variable } from "../ir/expression.js"
import type { LoopKernel, Statement } from "../ir/loop.js"
import { everyStatement, expressionsOf, freshNames, mapExpressions, withBodies } from "../ir/loop-visit.js"
import type { Expression, Fetch } from "../ir/nodes.js"
import { nodesOf } from "../ir/query.js"

export function numbersFirst(kernel: LoopKernel): LoopKernel {
  const numbers = new Set(
    kernel.buffers.flatMap(({ name, access, size }) =>
      access === "read" && isLiteral(size) && size.value === 1 ? [name] : [],
    ),
  )
  if (numbers.size === 0) return kernel
  const fresh = freshNames(kernel.body, "number_")
  const isNumber = (x: Expression): x is Fetch => x.kind === "fetch" && x.width === 1 && numbers.has(x.array)
  const section = (body: readonly Statement[]): readonly Statement[] => {
    const first = body.findIndex((s) => s.kind !== "alloc" && s.kind !== "barrier")
    const late = body.findIndex((s, at) => at > first && s.kind === "barrier")
    if (first < 0 || late < 0) return body.map((s) => withBodies(s, section))
    const own = body.slice(first)
    const read = everyStatement(body.slice(late)).flatMap((s) => nodesOf(expressionsOf(s), "fetch").filter(isNumber))
    const dtypes = new Map(read.map((x) => [x.array, x.dtype] as const))
    const names = new Map([...dtypes.keys()].map((array) => [array, fresh()] as const))
    const named = rewriter((x) =>
      isNumber(x) && names.has(x.array) ? variable(names.get(x.array)!, x.dtype) : undefined,
    )
    // Whatever an offset says, there is one element.
    const lets = [...names].map(
      ([array, name]): Statement => ({
        kind: "let",
        name,
        value: fetch(array, literal(0), dtypes.get(array)!),
        mutable: false,
      }),
    )
    return [...body.slice(0, first), ...lets, ...own.map((s) => mapExpressions(s, named))]
  }
  const lanes = (s: Statement): Statement =>
    s.kind === "for" && s.bind === "lane" ? withBodies(s, section) : withBodies(s, (body) => body.map(lanes))
  return { ...kernel, body: kernel.body.map(lanes) }
}
