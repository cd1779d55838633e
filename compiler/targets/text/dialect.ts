/**
 * What a C-like language is to the printer: how it spells a type, a declaration, an access, a loop. Everything else about text is shared:
 * expressions (expression.ts) and statements (statements.ts) know no language.
 *
 *   declaration("t1", f32, "x[i] - m", false)   → let t1 = x[i] - m;            in WGSL
 *                                               → const float t1 = x[i] - m;    in C
 *
 * A dialect is made for one kernel and may know its arrays. Texts that it is given are atoms or stand in parentheses, and so are those that it
 * answers, unless a function says otherwise.
 */
import type { Statement, StatementOf } from "../../ir/loop.js"
import type { Joint } from "../../ir/loop-visit.js"
import type { Expression, Fetch, Literal, OperationNode } from "../../ir/nodes.js"
import type { DType } from "../../ir/operations.js"
import type { Helper, Library } from "./library.js"
import type { Names } from "./names.js"

/** Of an expression: what a declaration has to name. */
export interface ValueType {
  readonly dtype: DType
  readonly width: number
}

/** A node as text. */
export interface Printed {
  readonly text: string
  /** Its value in f16, where an operation can take it without widening it. */
  readonly half?: string | undefined
}

/** The limit of a loop, as far as it is known. */
export interface LoopHead {
  readonly variable: string
  readonly start: string
  readonly limit: string
  readonly step: string
}

export interface Dialect {
  /** Words that no name may be. */
  readonly reserved: ReadonlySet<string>
  /** A function that the text calls, for values of a width. */
  readonly helper: (stem: string, width: number) => Helper

  readonly literal: (x: Literal) => string
  /** A vector of one scalar, or of as many as it has lanes. */
  readonly vector: (type: ValueType, parts: readonly string[]) => string
  /** of, of + 1, … */
  readonly ramp: (width: number, of: string) => string
  readonly lane: (text: string, lane: number) => string
  /** An operation on the texts of its `operands`. */
  readonly operation: (context: Context, x: OperationNode, operands: readonly Printed[]) => Printed
  /** What is printed before a node: its operands, or those of a pattern that the language has a word for. */
  readonly operands: (x: Expression) => readonly Expression[]
  /** Whether operations on constants alone have to be kept from the language's own arithmetic of constants. */
  readonly namesConstants: boolean
  readonly fetch: (context: Context, x: Fetch, offset: string) => string
  /** Whether the text of an access has its offset more than once. */
  readonly repeatsOffset: (x: Fetch) => boolean
  /** An expression by what the language has (`unrolling`): one, or several that together are a vector too wide for it. */
  readonly lowered: (context: Context, x: Expression) => readonly Expression[]

  /** A statement that gives a value a name; `value` is not in parentheses. */
  readonly declaration: (name: string, type: ValueType, value: string, mutable: boolean) => string
  readonly array: (alloc: StatementOf<"alloc">, name: string) => string
  /** Declares fragments, where they are no ordinary array. */
  readonly holds?: (context: Context, alloc: StatementOf<"alloc">) => void
  readonly store: (context: Context, s: StatementOf<"store">) => void
  readonly barrier: (context: Context) => void
  /** What orders launches, where they may overlap, and asks for memory meanwhile. */
  readonly early: (context: Context, s: StatementOf<"await" | "release" | "prefetch">) => void
  /** What lanes do together with fragments, and what is under way meanwhile. */
  readonly fragments: (context: Context, s: Joint) => void
  /** What is written before a statement of any kind. */
  readonly before?: (context: Context, s: Statement) => void
  /** Variables that are assigned to and never below 0. */
  readonly counters?: ReadonlySet<string>
  /** Whether the language's own compiler unrolls a loop that could be printed unrolled. */
  readonly rolls?: (s: StatementOf<"for">) => boolean
  /** The value of the lane at `mask`; the answer is not in parentheses. */
  readonly shuffle: (text: string, type: ValueType, mask: number) => string
  /** `for (…) {` of a statement, and what may stand before it. */
  readonly loop: (head: LoopHead, s: StatementOf<"for">) => readonly string[]
  /** The text of a literal extent of a loop. */
  readonly extent: (loop: StatementOf<"for">, extent: number) => string
  /** The number of this lane, of this workgroup, and how many workgroups there are. */
  readonly laneNumber: string
  readonly workgroup: string
  readonly workgroups: string
}

/** What the printer of a kernel knows at a point of its body. */
export interface Context {
  readonly dialect: Dialect
  readonly threads: number
  readonly names: Names
  readonly library: Library
  /** Values of the variables of loops that are being unrolled. */
  readonly unrolled: Map<string, Expression>
  readonly nonNegative: Set<string>
  /** What names stand for that nothing is assigned to: compilers see through them. */
  readonly definitions: Map<string, Expression>
  /** Variables of loops that a driver may unroll. */
  readonly counters: Set<string>
  /** Whether what is printed numbers elements, which never wraps: whatever is below 0 on the way. */
  readonly numbers?: boolean
  readonly line: (text: string) => void
  /** Writes a line outside of the kernel's function. */
  readonly global: (text: string) => void
  readonly temporary: () => string
  readonly indented: (body: () => void) => void
}
