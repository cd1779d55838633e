/**
 * What the front end writes into a model file, and what the language reads back.
 *
 * The front end inserts `__scalar(fn, attachment)` around each scalar function and `__at(span, () => call)` around each
 * call of the language. Attachments hang on the function itself under a registered symbol, and the running trace hangs on
 * `globalThis` under another, so that two instances of this module (one from source, one from a bundle) work together.
 */
import { WeftError } from "../runtime/errors.js"
import type { SourceSpan, Tracing } from "./tracing.js"

export type { SourceSpan } from "./tracing.js"

/**
 * A scalar function as it was read, before its types are known. A `const` local is an entry of `locals`, in order; a local may refer to
 * the ones before it. `capture` names a numeric const or a called function, whose value is read from the captures thunk while tracing.
 */
export type ScalarSource =
  | { readonly kind: "number"; readonly value: number; readonly span: ScalarPlace }
  | { readonly kind: "boolean"; readonly value: boolean; readonly span: ScalarPlace }
  | { readonly kind: "parameter"; readonly index: number; readonly span: ScalarPlace }
  | { readonly kind: "local"; readonly index: number; readonly span: ScalarPlace }
  | { readonly kind: "capture"; readonly name: string; readonly span: ScalarPlace }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly ScalarSource[]; readonly span: ScalarPlace }
  | {
      readonly kind: "operation"
      readonly operation: ScalarOperation
      readonly args: readonly ScalarSource[]
      readonly span: ScalarPlace
    }

/** [line, column, length] in the file of the function, counted from 1. */
export type ScalarPlace = readonly [line: number, column: number, length: number]

/** The operators and `Math` functions that a scalar function may use. `select` is `?:`; `bits` and `fromBits` come from the language. */
export type ScalarOperation =
  | "+"
  | "-"
  | "*"
  | "/"
  | "%"
  | "negate"
  | "<"
  | "<="
  | ">"
  | ">="
  | "==="
  | "!=="
  | "select"
  | "&&"
  | "||"
  | "!"
  | "&"
  | "|"
  | "^"
  | "~"
  | "<<"
  | ">>"
  | ">>>"
  | "abs"
  | "floor"
  | "ceil"
  | "round"
  | "trunc"
  | "sign"
  | "sqrt"
  | "exp"
  | "log"
  | "sin"
  | "cos"
  | "tanh"
  | "pow"
  | "min"
  | "max"
  | "imul"
  | "isNaN"
  | "isFinite"
  | "isInteger"
  | "bits"
  | "fromBits"
  | "toF32"
  | "toI32"
  | "toU32"

/** What hangs on a scalar function: its lowered form, or the diagnostic that explains why it has none. */
export type ScalarAttachment =
  | {
      readonly kind: "function"
      readonly parameters: readonly string[]
      readonly locals: readonly ScalarSource[]
      readonly result: ScalarSource
      readonly captures: () => Readonly<Record<string, unknown>>
      readonly span: SourceSpan
    }
  | { readonly kind: "refused"; readonly message: string; readonly hint: string; readonly span: SourceSpan }

const scalarKey = Symbol.for("weft.scalar")
const traceKey = Symbol.for("weft.trace")

type Carrier = { [scalarKey]?: ScalarAttachment }
const placesKey = Symbol.for("weft.places")
type Host = { [traceKey]?: Tracing | undefined; [placesKey]?: SourceSpan[] }

/** Hangs `attachment` on `fn` and returns `fn`. Inserted by the front end; never written by hand. */
export function __scalar<F extends (...args: never[]) => unknown>(fn: F, attachment: ScalarAttachment): F {
  ;(fn as Carrier)[scalarKey] = attachment
  return fn
}

/** The attachment of a scalar function, when the front end has seen it. */
export function scalarAttachment(fn: unknown): ScalarAttachment | undefined {
  return typeof fn === "function" ? (fn as Carrier)[scalarKey] : undefined
}

/** Runs one call of the language with `span` on the stack of places. Inserted by the front end; never written by hand. */
export function __at<T>(span: SourceSpan, call: () => T): T {
  const spans = places()
  spans.push(span)
  try {
    return call()
  } finally {
    spans.pop()
  }
}

/** Places of the calls that are running, outermost first: those of the running trace, or those of the file that is being imported. */
function places(): SourceSpan[] {
  const host = globalThis as Host
  if (host[placesKey] === undefined) host[placesKey] = []
  return host[traceKey]?.spans ?? host[placesKey]
}

/** The place of the call of the language that is running. */
export const here = (): SourceSpan | undefined => places().findLast(({ library }) => library !== true)

/** Runs `body` with `trace` as the running trace. Called by the compiler only. */
export function withTracing<T>(trace: Tracing, body: () => T): T {
  const host = globalThis as Host
  const before = host[traceKey]
  host[traceKey] = trace
  try {
    return body()
  } finally {
    host[traceKey] = before
  }
}

/** The running trace; calls of the language outside of one are an error. */
export function tracing(): Tracing {
  const trace = (globalThis as Host)[traceKey]
  if (trace === undefined)
    throw new WeftError("trace/outside", "a call of the language outside of a compilation", {
      hint: "models are compiled, not called: use load() or compile()",
    })
  return trace
}
