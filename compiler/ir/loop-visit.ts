/**
 * Walking the loop language: the statements of a body, the expressions of a statement, and a statement with other expressions.
 *
 *   for (const s of everyStatement(kernel.body)) for (const x of expressionsOf(s)) walk(x, see)
 *   const halved = mapExpressions(statement, (x) => …)
 */
import { walk } from "./expression.js"
import type { BoxCopy, Pending, Place, Statement, StatementOf } from "./loop.js"
import type { Expression } from "./nodes.js"

/** The lists of statements inside of one. */
function bodiesOf(s: Statement): readonly (readonly Statement[])[] {
  if (s.kind === "if") return [s.body, s.otherwise]
  return s.kind === "for" || s.kind === "block" ? [s.body] : []
}

/** A statement with the lists of statements inside of it replaced. */
export function withBodies(s: Statement, change: (body: readonly Statement[]) => readonly Statement[]): Statement {
  if (s.kind === "if") return { ...s, body: change(s.body), otherwise: change(s.otherwise) }
  return s.kind === "for" || s.kind === "block" ? { ...s, body: change(s.body) } : s
}

/** Every statement of a body, outer before inner. */
export function everyStatement(body: readonly Statement[]): readonly Statement[] {
  const found: Statement[] = []
  const visit = (list: readonly Statement[]) => {
    for (const s of list) {
      found.push(s)
      bodiesOf(s).forEach(visit)
    }
  }
  visit(body)
  return found
}

/** The names that a body declares or assigns. */
export const namesIn = (body: readonly Statement[]): Set<string> =>
  new Set(everyStatement(body).flatMap((s) => (s.kind === "assign" ? [s.name] : declared(s))))

/** The arrays that a body stores to. */
export const storedIn = (body: readonly Statement[]): ReadonlySet<string> =>
  new Set(everyStatement(body).flatMap(storesOf))

/** The arrays that a statement itself stores to, at once or later. */
export function storesOf(s: Statement): readonly string[] {
  if (s.kind === "store") return [s.array]
  if (s.kind === "multiply") return [s.c.array]
  if (s.kind === "copyBoxes") return s.boxes.map(({ to }) => to.array)
  return s.kind === "fill" || s.kind === "drain" || s.kind === "copy" ? [s.to.array] : []
}

/** The arrays that a statement itself reads otherwise than by a fetch. */
function takesOf(s: Statement): readonly string[] {
  if (s.kind === "multiply") return [...(s.fresh === true ? [] : [s.c.array]), s.a.array, s.b.array]
  if (s.kind === "copyBoxes") return s.boxes.map(({ from }) => from.array)
  return s.kind === "fill" || s.kind === "drain" || s.kind === "copy" ? [s.from.array] : []
}

/** What waits of a body settle: arrays that are as if stored to, and read, where it stands. */
export function settledIn(body: readonly Statement[]): (s: Statement) => Settled {
  const [stores, reads] = [
    { copies: [], products: [], boxes: [] },
    { copies: [], products: [], boxes: [] },
  ] as Record<Pending | "boxes", string[]>[]
  const begun = { copy: "copies", multiply: "products", copyBoxes: "boxes" } as const
  for (const s of everyStatement(body)) {
    if (s.kind !== "copy" && s.kind !== "multiply" && s.kind !== "copyBoxes") continue
    stores![begun[s.kind]].push(...storesOf(s))
    reads![begun[s.kind]].push(...takesOf(s))
  }
  return (s) => {
    const of = s.kind === "wait" ? s.of : s.kind === "arrived" ? "boxes" : undefined
    return of === undefined ? nothing : { stores: stores![of], reads: reads![of] }
  }
}

interface Settled {
  readonly stores: readonly string[]
  readonly reads: readonly string[]
}
const nothing: Settled = { stores: [], reads: [] }

/** The arrays that a statement itself reads. */
export function readsOf(s: Statement): ReadonlySet<string> {
  const found = new Set(takesOf(s))
  const seen = new Set<Expression>()
  const see = (x: Expression) => {
    if (x.kind === "fetch") found.add(x.array)
  }
  for (const root of expressionsOf(s)) walk(root, see, seen)
  return found
}

/** Names stem0, stem1, … that no statement declares, one for each call. */
export function freshNames(body: readonly Statement[], stem: string): () => string {
  const taken = new Set(everyStatement(body).flatMap(declared))
  let count = 0
  const fresh = (): string => {
    const name = `${stem}${count++}`
    return taken.has(name) ? fresh() : name
  }
  return fresh
}

/** The names that a statement declares. */
function declared(s: Statement): readonly string[] {
  if (s.kind === "for") return [s.variable]
  return s.kind === "let" || s.kind === "alloc" || s.kind === "shuffle" || s.kind === "arrivals" ? [s.name] : []
}

/** The expressions that a statement itself evaluates, without those of the statements inside. */
export function expressionsOf(s: Statement): readonly Expression[] {
  switch (s.kind) {
    case "for":
      return [s.extent]
    case "if":
      return [s.condition]
    case "let":
    case "assign":
    case "shuffle":
      return [s.value]
    case "store":
      return [s.offset, s.value]
    case "prefetch":
      return [s.offset]
    case "multiply":
      return [s.c.offset, s.a.offset, s.b.offset]
    case "fill":
    case "drain":
      return [s.to.offset, s.from.offset, s.stride]
    case "copy":
      return [s.to.offset, s.from.offset, ...(s.valid === undefined ? [] : [s.valid])]
    case "copyBoxes":
      return [s.number, ...s.boxes.flatMap(({ to, from }) => [to.offset, from.row, from.column])]
    case "arrived":
      return [s.number]
    case "block":
    case "alloc":
    case "barrier":
    case "await":
    case "release":
    case "commit":
    case "wait":
    case "arrivals":
      return []
    default:
      return s satisfies never
  }
}

/** A statement with its expressions replaced, inner statements included. */
export function mapExpressions(s: Statement, change: (x: Expression) => Expression): Statement {
  return withBodies(withExpressions(s, change), (body) => body.map((b) => mapExpressions(b, change)))
}

/** A statement with the expressions that it evaluates itself replaced. */
export function withExpressions(s: Statement, change: (x: Expression) => Expression): Statement {
  switch (s.kind) {
    case "for":
      return { ...s, extent: change(s.extent) }
    case "if":
      return { ...s, condition: change(s.condition) }
    case "let":
    case "assign":
    case "shuffle":
      return { ...s, value: change(s.value) }
    case "store":
      return { ...s, offset: change(s.offset), value: change(s.value) }
    case "prefetch":
      return { ...s, offset: change(s.offset) }
    case "multiply":
    case "fill":
    case "drain":
    case "copy": {
      const moved = withPlaces(s, (place) => ({ ...place, offset: change(place.offset) }))
      if (moved.kind === "copy") return moved.valid === undefined ? moved : { ...moved, valid: change(moved.valid) }
      return moved.kind === "multiply" ? moved : { ...moved, stride: change(moved.stride) }
    }
    case "copyBoxes":
      return { ...s, number: change(s.number), boxes: s.boxes.map((box) => withBox(box, change)) }
    case "arrived":
      return { ...s, number: change(s.number) }
    case "block":
    case "alloc":
    case "barrier":
    case "await":
    case "release":
    case "commit":
    case "wait":
    case "arrivals":
      return s
    default:
      return s satisfies never
  }
}

const withBox = ({ to, from }: BoxCopy, change: (x: Expression) => Expression): BoxCopy => ({
  to: { ...to, offset: change(to.offset) },
  from: { ...from, row: change(from.row), column: change(from.column) },
})

/** What lanes do together with fragments, and what is under way meanwhile. */
export type Joint = Moving | StatementOf<"commit" | "wait" | "arrivals" | "copyBoxes" | "arrived">

const ordering: ReadonlySet<Statement["kind"]> = new Set(["commit", "wait", "arrivals", "copyBoxes", "arrived"])

/** Whether a statement is one of matrix units and of what feeds them. */
export const isJoint = (s: Statement): s is Joint => isMoving(s) || ordering.has(s.kind)

/** Those of them that touch places of arrays. */
type Moving = StatementOf<"multiply" | "fill" | "drain" | "copy">

export const isMoving = (s: Statement): s is Moving =>
  s.kind === "multiply" || s.kind === "fill" || s.kind === "drain" || s.kind === "copy"

/** Such a statement with other places. */
export function withPlaces(s: Moving, change: <P extends Place>(place: P) => P): Moving {
  return s.kind === "multiply"
    ? { ...s, c: change(s.c), a: change(s.a), b: change(s.b) }
    : { ...s, to: change(s.to), from: change(s.from) }
}

/** The names of the size symbols that a body reads. */
export function symbolsOf(body: readonly Statement[]): ReadonlySet<string> {
  const found = new Set<string>()
  const seen = new Set<Expression>()
  const see = (x: Expression) => {
    if (x.kind === "symbol") found.add(x.name)
  }
  for (const s of everyStatement(body)) for (const root of expressionsOf(s)) walk(root, see, seen)
  return found
}
