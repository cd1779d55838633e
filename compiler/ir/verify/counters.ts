/**
 * Counters: variables that only grow, or turn, and how far they have come.
 *
 *   var runs = 0; for i < 4748 { let done = runs + 1; …; runs = done }      in the body   0 ≤ runs ≤ i,  done ≤ i + 1
 *                                                                           after it      0 ≤ runs ≤ 4748
 *
 *   var slot = 0; … slot = select(slot == 3, 0, slot + 1)                           everywhere    0 ≤ slot ≤ 3
 *
 * An addition counts once for each turn of the loops around it, as often as those may turn; whether it is done at all is not asked. The elements
 * of a register array count, too: one that is the element of a loop's turn is added to once in all turns of that loop. Assumed is that each is
 * stored before it is read.
 */
import { isLiteral } from "../expression.js"
import type { Statement } from "../loop.js"
import type { Expression } from "../nodes.js"
import type { Atoms } from "./atoms.js"
import type { Facts } from "./facts.js"
import { combine, type Form, highest, minus, number, plus, times } from "./forms.js"

type Loop = Statement & { readonly kind: "for" }

interface Addition {
  readonly statement: Statement
  readonly by: number
  /** The loops around it, from where the counter is declared, the outermost first. */
  readonly loops: readonly Loop[]
  /** Where in an array. */
  readonly offset: Expression | undefined
}

interface Counting {
  /** What it is set to. */
  readonly low: number
  readonly high: number
  readonly additions: readonly Addition[]
}

/** A loop that is open now. */
interface OpenLoop {
  readonly loop: Statement
  readonly turn: Form
}

export interface Counters {
  /** A variable or an array is declared before `rest`. */
  declare(s: Statement, rest: readonly Statement[]): void
  /** An assignment or a store is done. */
  pass(s: Statement): unknown
  /** Runs `body` in a turn of a loop, which has `most` of them at most. */
  within(loop: Statement, turn: Form, most: number, body: () => void): void
  /** What a variable, or an element of an array, is now, if it counts. */
  valueOf(name: string, offset?: Expression): Form | undefined
}

const mostI32 = 2 ** 31 - 1

export function createCounters(atoms: Atoms, facts: Facts): Counters {
  const counting = new Map<string, Counting & { readonly depth: number }>()
  const open: OpenLoop[] = []
  const turns = new Map<Statement, number>()
  const passed = new Set<Statement>()
  return {
    declare(s, rest) {
      if (s.kind !== "let" && s.kind !== "alloc") return
      const found = countingOf(s, rest)
      if (found === undefined) counting.delete(s.name)
      else counting.set(s.name, { ...found, depth: open.length })
    },
    pass: (s) => passed.add(s),
    within(loop, turn, most, body) {
      turns.set(loop, Math.max(0, most))
      open.push({ loop, turn })
      body()
      open.pop()
    },
    valueOf(name, offset) {
      const found = counting.get(name)
      if (found === undefined) return undefined
      let most: Form | undefined = number(found.high)
      for (const addition of found.additions) {
        const more = timesDone(addition, offset, open.slice(found.depth), turns, passed)
        most = most === undefined || more === undefined ? undefined : combine(most, 1, more, 1)
      }
      if (most === undefined || highest(most) > mostI32) return undefined
      const value = atoms.plain(found.low, Math.max(found.high, highest(most)))
      facts.learn(minus(most, value))
      return value
    },
  }
}

/** How a variable, or each element of an array, counts that is declared before `rest`, if all that it is given is itself and a number more. */
function countingOf(s: Statement, rest: readonly Statement[]): Counting | undefined {
  const starts: number[] = []
  if (s.kind === "let") {
    if (!s.mutable || s.value.dtype !== "i32" || !isLiteral(s.value)) return undefined
    starts.push(s.value.value)
  } else if (s.kind !== "alloc" || s.space !== "register" || s.dtype !== "i32") return undefined
  const additions: Addition[] = []
  const lets = new Map<string, Expression>()
  const meant = (x: Expression): Expression =>
    x.kind === "variable" && lets.has(x.name) ? meant(lets.get(x.name)!) : x
  /** From which it turns. */
  const lasts: number[] = []
  const isOwnName = (x: Expression) => s.kind === "let" && x.kind === "variable" && x.name === s.name
  const give = (statement: Statement, given: Expression, offset: Expression | undefined, loops: readonly Loop[]) => {
    const value = meant(given)
    if (isLiteral(value)) return starts.push(value.value) > 0
    if (value.kind === "operation" && value.operation === "floormod" && isLiteral(value.args[1]!))
      return starts.push(0, value.args[1].value - 1) > 0
    const turn = turnOf(value, isOwnName)
    if (turn !== undefined) {
      lasts.push(turn.last)
      return starts.push(turn.first, turn.last) > 0
    }
    if (value.kind !== "operation" || value.operation !== "add") return false
    const [own, by] = [meant(value.args[0]!), value.args[1]!]
    const isOwn =
      offset === undefined
        ? own.kind === "variable" && own.name === s.name
        : own.kind === "fetch" && own.array === s.name && own.offset === offset
    if (!isOwn || !isLiteral(by) || by.value < 0) return false
    return additions.push({ statement, by: by.value, loops, offset }) > 0
  }
  const visit = (body: readonly Statement[], loops: readonly Loop[]): boolean =>
    body.every((b) => {
      if (b.kind === "let" && !b.mutable) lets.set(b.name, b.value)
      if (b.kind === "for") return visit(b.body, [...loops, b])
      if (b.kind === "if") return visit(b.body, loops) && visit(b.otherwise, loops)
      if (b.kind === "block") return visit(b.body, loops)
      if (b.kind === "assign" && b.name === s.name) return give(b, b.value, undefined, loops)
      return b.kind !== "store" || b.array !== s.name || give(b, b.value, b.offset, loops)
    })
  if (!visit(rest, []) || starts.length === 0) return undefined
  const [low, high] = [Math.min(...starts), Math.max(...starts)]
  // What has come beyond a last number would go on from there.
  if (lasts.length > 0 && (additions.length > 0 || lasts.some((last) => last !== high))) return undefined
  return { low, high, additions }
}

/** x = select(x == last, first, x + 1). */
function turnOf(x: Expression, isOwn: (x: Expression) => boolean) {
  if (x.kind !== "operation" || x.operation !== "select") return undefined
  const [condition, first, next] = x.args as [Expression, Expression, Expression]
  if (condition.kind !== "operation" || condition.operation !== "eq" || !isOwn(condition.args[0]!)) return undefined
  if (next.kind !== "operation" || next.operation !== "add") return undefined
  const last = condition.args[1]!
  const goesOn = isOwn(next.args[0]!) && isOne(next.args[1]!)
  return goesOn && isLiteral(last) && isLiteral(first) ? { first: first.value, last: last.value } : undefined
}

const isOne = (x: Expression): boolean => isLiteral(x) && x.value === 1

/** What an addition has added at most, at a place where the loops `open` are open; undefined where that is not known. */
function timesDone(
  { statement, by, loops, offset }: Addition,
  at: Expression | undefined,
  open: readonly OpenLoop[],
  turns: ReadonlyMap<Statement, number>,
  passed: ReadonlySet<Statement>,
): Form | undefined {
  const own = loops.find((l) => offset?.kind === "variable" && l.variable === offset.name)
  // In its loop another element may have been added to in this turn, or not yet.
  if (own !== undefined && at !== offset && open.some((o) => o.loop === own)) return undefined
  const path = loops.filter((l) => l !== own)
  const around = open.filter((o) => o.loop !== own)
  const apart = path.findIndex((loop, i) => around[i]?.loop !== loop)
  const common = apart < 0 ? path.length : apart
  // From the innermost loop outwards: what it adds in one turn of each.
  let [each, most] = [by, number(0)]
  for (const [i, loop] of [...path.entries()].reverse()) {
    if (i === common - 1 && passed.has(statement)) most = plus(most, each)
    if (i < common) most = combine(most, 1, times(around[i]!.turn, each), 1)
    const count = turns.get(loop)
    if (count === undefined) return undefined
    each *= count
  }
  return common === 0 && passed.has(statement) ? plus(most, each) : most
}
