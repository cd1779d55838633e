/**
 * Prints expressions. An expression is a graph, so a node that a statement uses twice gets a name before the statement and the text stays as
 * small as the graph.
 *
 *   store y[i] ← (x[i] - m) * (x[i] - m)
 *   → let t1 = x[i] - m;
 *     y[i] = t1 * t1;
 *
 * How a node is spelled is the dialect's; first it rewrites an expression by what the language has (`Dialect.lowered`, with `unrolling`).
 */
import { fault } from "../../../runtime/errors.js"
import { isLiteral, operands, type Replace, rewriter } from "../../ir/expression.js"
import { memoized } from "../../ir/memoized.js"
import type { Expression } from "../../ir/nodes.js"
import type { Context, Printed } from "./dialect.js"
import { bare } from "./literals.js"

/** Nesting of parentheses beyond which a subexpression gets a name. */
const deepest = 24

/** A `rewriter` that takes the numbers of loops that are being unrolled for their variables. */
export const unrolling = (context: Context, replace: Replace = () => undefined): ((x: Expression) => Expression) =>
  rewriter((x, again) => (x.kind === "variable" ? (context.unrolled.get(x.name) ?? x) : replace(x, again)))

/** The name of a part of a variable that is several in the text. */
export const partName = (name: string, parts: number, part: number): string =>
  parts > 1 ? `${name}\u0000${part}` : name

/**
 * The texts of lowered expressions of one statement; the declarations they need are written before. The `named` ones are atoms that can be
 * repeated and do not change while the statement runs.
 */
export function printed(context: Context, roots: readonly Expression[], named: readonly Expression[] = []): string[] {
  const { dialect } = context
  const uses = countUses(context, roots)
  for (const x of named) uses.set(x, 2)
  const visit: (x: Expression) => Nested = memoized((x) => {
    const inner = dialect.operands(x).map(visit)
    if (dialect.namesConstants && x.kind === "operation" && x.args.every(isConstant))
      inner[0] = bind(x.args[0]!, inner[0]!.text)
    const node = nodeText(context, x, inner)
    let depth = 1
    for (const i of inner) if (i.depth >= depth) depth = i.depth + 1
    const shared = uses.get(x)! > 1 && !isAtom(x)
    return shared || depth > deepest ? bind(x, node.text) : { text: node.text, half: node.half, depth }
  })
  const bind = (x: Expression, text: string): Nested => {
    const name = context.temporary()
    context.line(dialect.declaration(name, x, bare(text), false))
    return { text: name, depth: 0 }
  }
  return roots.map((x) => visit(x).text)
}

interface Nested extends Printed {
  readonly depth: number
}

const isAtom = (x: Expression): boolean =>
  x.kind === "literal" || x.kind === "symbol" || x.kind === "variable" || (x.kind === "splat" && isAtom(x.of))

/** An expression whose value the language's compiler computes. */
function isConstant(x: Expression): boolean {
  return (
    x.kind === "literal" ||
    (x.kind !== "operation" && operands(x).length > 0 && x.kind !== "fetch" && operands(x).every(isConstant))
  )
}

/** How often each node is used; an index that a text repeats counts twice. */
function countUses({ dialect }: Context, roots: readonly Expression[]): Map<Expression, number> {
  const uses = new Map<Expression, number>()
  const use = (x: Expression) => {
    const before = uses.get(x) ?? 0
    uses.set(x, before + 1)
    if (before > 0) return
    for (const o of dialect.operands(x)) use(o)
    if (x.kind === "fetch" && !isLiteral(x.offset) && dialect.repeatsOffset(x)) uses.set(x.offset, 2)
  }
  for (const x of roots) use(x)
  return uses
}

function nodeText(context: Context, x: Expression, inner: readonly Printed[]): Printed {
  const { dialect } = context
  const args = inner.map(({ text }) => text)
  switch (x.kind) {
    case "literal":
      return { text: dialect.literal(x) }
    case "variable":
      // `=t1` is a name that a dialect has declared itself.
      return { text: x.name[0] === "=" ? x.name.slice(1) : spelled(context, x.name) }
    case "symbol":
      return { text: spelled(context, symbolKey(x.name)) }
    case "operation":
      return dialect.operation(context, x, inner)
    case "fetch":
      return { text: dialect.fetch(context, x, args[0]!) }
    case "splat":
    case "vector":
      return { text: dialect.vector(x, args) }
    case "ramp":
      return { text: dialect.ramp(x.width, args[0]!) }
    case "lane":
      return { text: dialect.lane(args[0]!, x.lane) }
    default:
      throw fault(`'${x.kind}' does not occur in the loop language`)
  }
}

/** Under what a size symbol is bound among the names. */
export const symbolKey = (name: string) => `$${name}`

/** How a bound name is spelled; the workgroup's number has one of the dialect's where nothing else is called so. */
export function spelled({ names, dialect }: Context, name: string): string {
  const own = name === "workgroup" || name === "workgroups" ? dialect[name] : undefined
  const found = names.find(name) ?? own
  if (found === undefined) throw fault(`'${name}' is not bound here`)
  return found
}
