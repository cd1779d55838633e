/**
 * The one error that Weft throws at its boundary.
 *
 * `code` is stable and meant for programs; `message` and `hint` are meant for people. An error that has a place in a source
 * file prints like tsc's: `file:line:column - message`, the line, a caret.
 */

/** A place in a source file; line and column count from 1. `text` is the source line, when it is known. */
export interface Span {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly length?: number
  readonly text?: string
}

/** What went wrong, for programs: `area/what`, lower case, words with hyphens. `README.md` lists them all. */
export type ErrorCode = `${string}/${string}`

export interface WeftErrorOptions {
  readonly span?: Span | undefined
  /** What to do about it, one sentence. */
  readonly hint?: string | undefined
  readonly cause?: unknown
  /** The mistakes of which `message` tells, when they are several. */
  readonly mistakes?: readonly WeftError[]
}

const brand = Symbol.for("weft.error")

export class WeftError extends Error {
  /** Any copy's: a compiled model holds the language, and this class with it. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && brand in value
  }

  /** On the prototype, so that a stack printed by Node shows the message and the code, and nothing a second time. */
  get [brand](): true {
    return true
  }
  readonly code: ErrorCode
  /** What is wrong, without the place, the source line and the hint that `message` has around it. */
  declare readonly reason: string
  declare readonly span: Span | undefined
  declare readonly hint: string | undefined
  /** Where `message` tells of several mistakes, each of them; else this one. */
  declare readonly mistakes: readonly WeftError[]

  constructor(code: ErrorCode, message: string, options: WeftErrorOptions = {}) {
    super(render(message, options), options.cause === undefined ? undefined : { cause: options.cause })
    this.name = "WeftError"
    this.code = code
    const { span, hint, mistakes = [this] } = options
    for (const [name, value] of Object.entries({ reason: message, span, hint, mistakes }))
      Object.defineProperty(this, name, { value })
  }

  /** For logs: what `message` is made of. */
  toJSON(): object {
    const { name, code, reason, span, hint } = this
    return { name, code, reason, span, hint }
  }
}

/** For what only a mistake of Weft itself can reach: `throw fault("no local holds this value")`. */
export function fault(message: string): WeftError {
  return new WeftError("weft/fault", `this is a fault of Weft itself: ${message}`, {
    hint: "report it with the model's file, its config and the stack of this error",
  })
}

function render(message: string, { span, hint }: WeftErrorOptions): string {
  const place = span ? `${span.file}:${span.line}:${span.column} - ` : ""
  const frame = span?.text === undefined ? "" : `\n\n${codeFrame(span)}`
  return `${place}${message}${frame}${hint ? `\n${frame ? "\n" : ""}hint: ${hint}` : ""}`
}

/** The source line with its number and a caret under the span. */
function codeFrame(span: Span): string {
  const gutter = `${span.line} | `
  const indent = " ".repeat(gutter.length + span.column - 1)
  return `${gutter}${span.text}\n${indent}${"~".repeat(Math.max(1, span.length ?? 1))}`
}

/** What was thrown, as a text: anything can be, and may fail to become one. */
export function thrownText(thrown: unknown): string {
  try {
    const text = thrown instanceof Error ? thrown.message : String(thrown)
    return typeof text === "string" && text !== "" ? text : Object.prototype.toString.call(thrown)
  } catch {
    return "something that has no text"
  }
}

/** Escapes control characters and quotes of a name that came from a file, and shortens it, so that it can be printed. */
export function printable(name: string): string {
  const short = name.length > 200 ? `${name.slice(0, 200)}…` : name
  return JSON.stringify(short).replace(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}
