/**
 * Why a function is no scalar function: a message, what to do about it, and the exact characters that it is about.
 *
 *     (x) => x == 0 ? 1 : x      →   { message: "a scalar function cannot contain `==`", hint: "use `===` or `!==`", start, end }
 *
 * Thrown and caught within the front end only; it leaves as data, in an attachment or a diagnostic.
 */
import type { ts } from "ts-morph"

export class Refusal extends Error {
  readonly hint: string
  readonly start: number
  readonly end: number

  constructor(message: string, hint: string, start: number, end: number) {
    super(message)
    this.hint = hint
    this.start = start
    this.end = end
  }
}

export function refuse(node: ts.Node, message: string, hint: string): never {
  throw new Refusal(message, hint, node.getStart(), node.end)
}

/** Refuses syntax: `what` completes the sentence. */
export function refuseSyntax(node: ts.Node, what: string, hint: string): never {
  return refuse(node, `a scalar function cannot contain ${what}`, hint)
}
