/**
 * How keys and values of an online fold come to the workgroup's memory: copied by all lanes, or brought by the machine's copy engine.
 *
 *   all lanes         wait for what this one has copied;  barrier;  later chunks take the place of those before the barrier
 *   copy engine       arrived;  …  read;  boxes of a later chunk, by the last lane to have left their place
 *
 * Where lanes copy, the workgroup meets for each chunk. What the engine brings each lane waits for itself, and leaves by itself: groups of lanes go
 * through chunks at their own pace, as far apart as there are places. Values beyond the end of the fold, in the last chunk alone, lanes clear.
 */
import { add, apply, literal } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { chunkAt, keysAt, type OnlineBlock, type OnlineStaged } from "./online-block.js"
import { when } from "./registers.js"
import { slotOf } from "./ring.js"
import { boxesOf, emitCleared, emitStage, type StagedOperand } from "./staged.js"

/** What is said where chunks are multiplied. */
export interface Coming {
  /** Before the first chunk. */
  begin(scope: Scope): void
  /** The keys of a chunk are about to be multiplied. */
  keys(turn: Expression, scope: Scope): void
  /** Its values are; the chunk may be the last one. */
  values(turn: Expression, mayEnd: boolean, scope: Scope): void
  /** Products with the keys of a chunk, and with the values of the one before it, are under way. */
  beside(turn: Expression, scope: Scope): void
  /** Nothing reads a chunk's keys any more. */
  keysRead(turn: Expression, scope: Scope): void
  /** Nor its values. */
  valuesRead(turn: Expression, scope: Scope): void
}

/** What comes: chunks from one on, so many of them. */
export interface Chunks {
  readonly block: OnlineBlock
  readonly staged: OnlineStaged
  readonly from: Expression
  readonly count: Expression
}

const barrier: Statement = { kind: "barrier" }
const commit: Statement = { kind: "commit", of: "copies" }
const nothing = () => undefined

/** @param lapped whether keys are multiplied a chunk ahead of values */
export function openCopies(of: Chunks, lapped: boolean, scope: Scope, lowerer: Lowerer): Coming {
  const { keys, values } = of.staged
  if ([keys, ...values].every((x) => x.boxed !== undefined)) return broughtAsBoxes(of, scope, lowerer)
  return lapped ? copiedAhead(of, lowerer) : copiedInTurn(of, lowerer)
}

/** Copies of a chunk's keys, or values, by all lanes, where there is such a chunk. */
function emitCopies(
  { block, staged, from, count }: Chunks,
  what: "keys" | "values",
  turn: Expression,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const body: Statement[] = []
  const inside = { ...scope, out: body }
  const [slot, number] = [slotOf(turn, block.stages), add(from, turn)]
  if (what === "keys")
    emitStage({ ...staged.keys, side: keysAt(block, number) }, slot, block.fixed, staged.inner, inside, lowerer)
  else for (const v of staged.values) emitStage(v, slot, block.fixed, chunkAt(block, number), inside, lowerer)
  scope.out.push(...when(apply("lt", turn, count), body))
}

const wait = (groups: number): Statement => ({ kind: "wait", of: "copies", groups })

function copiedInTurn(of: Chunks, lowerer: Lowerer): Coming {
  const ahead = of.block.stages - 1
  const copies = (turn: Expression, scope: Scope) => {
    for (const what of ["keys", "values"] as const) emitCopies(of, what, turn, scope, lowerer)
    scope.out.push(commit)
  }
  return {
    begin: (scope) => {
      for (let i = 0; i < ahead; i++) copies(literal(i), scope)
    },
    keys: (turn, scope) => {
      scope.out.push(...(ahead === 0 ? [barrier] : [wait(ahead - 1), barrier]))
      copies(add(turn, literal(ahead)), scope)
      if (ahead === 0) scope.out.push(wait(0), barrier)
    },
    values: nothing,
    beside: nothing,
    keysRead: nothing,
    valuesRead: nothing,
  }
}

/** Keys come along with the values of the chunk before. */
function copiedAhead(of: Chunks, lowerer: Lowerer): Coming {
  const ahead = of.block.stages - 1
  const copies = (keys: Expression, values: Expression | undefined, scope: Scope) => {
    emitCopies(of, "keys", keys, scope, lowerer)
    if (values !== undefined) emitCopies(of, "values", values, scope, lowerer)
    scope.out.push(commit)
  }
  const there = ({ out }: Scope) => out.push(wait(ahead - 1), barrier)
  return {
    begin: (scope) => {
      for (let i = 0; i < ahead; i++) copies(literal(i), i === 0 ? undefined : literal(i - 1), scope)
    },
    keys: (_, scope) => there(scope),
    values: (_, mayEnd, scope) => {
      if (mayEnd) there(scope)
    },
    beside: (turn, scope) => copies(add(turn, literal(ahead)), add(turn, literal(ahead - 1)), scope),
    keysRead: nothing,
    valuesRead: nothing,
  }
}

function broughtAsBoxes(of: Chunks, { out }: Scope, lowerer: Lowerer): Coming {
  const { block, staged, from, count } = of
  const { stages, fixed } = block
  const open = (): string => {
    const name = lowerer.fresh("arrivals")
    out.push({ kind: "arrivals", name, places: stages })
    return name
  }
  const arrivals = { keys: open(), values: open() }
  const boxes = (x: StagedOperand, at: typeof staged.inner, turn: Expression, scope: Scope) =>
    boxesOf(x, x.boxed!, slotOf(turn, stages), fixed, at, scope, lowerer)
  const ask = (what: "keys" | "values", turn: Expression, scope: Scope, last?: true): void => {
    const body: Statement[] = []
    const inside = { ...scope, out: body }
    const number = add(from, turn)
    const own =
      what === "keys"
        ? boxes({ ...staged.keys, side: keysAt(block, number) }, staged.inner, turn, inside)
        : staged.values.flatMap((v) => boxes(v, chunkAt(block, number), turn, inside))
    body.push({
      kind: "copyBoxes",
      arrivals: arrivals[what],
      number: turn,
      boxes: own,
      ...(last === undefined ? {} : { last }),
    })
    scope.out.push(...when(apply("lt", turn, count), body))
  }
  const read = (what: "keys" | "values") => (turn: Expression, scope: Scope) =>
    ask(what, add(turn, literal(stages)), scope, true)
  return {
    begin: (scope) => {
      for (let i = 0; i < stages; i++) for (const what of ["keys", "values"] as const) ask(what, literal(i), scope)
      // What is staged once is there for all.
      scope.out.push(commit, wait(0), barrier)
    },
    keys: (number, scope) => scope.out.push({ kind: "arrived", arrivals: arrivals.keys, number }),
    values: (number, mayEnd, scope) => {
      scope.out.push({ kind: "arrived", arrivals: arrivals.values, number })
      if (mayEnd) emitEnd(of, number, scope, lowerer)
    },
    beside: nothing,
    keysRead: read("keys"),
    valuesRead: read("values"),
  }
}

/** Clears what is there of values beyond the end, if a chunk has any. */
function emitEnd({ block, staged, from }: Chunks, turn: Expression, scope: Scope, lowerer: Lowerer): void {
  const at = chunkAt(block, add(from, turn))
  const left = staged.values.filter((v) => !v.boxed!.ends)
  if (left.length === 0) return
  const body: Statement[] = []
  const inside = { ...scope, out: body }
  for (const v of left) emitCleared(v, slotOf(turn, block.stages), at, inside, lowerer)
  body.push(barrier)
  scope.out.push(...when(apply("lt", at.extent, add(at.base, literal(block.chunk))), body))
}
