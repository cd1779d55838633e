/**
 * What a scalar function may contain, as tables: operators, functions and constants of `Math`, functions of the language, and the
 * words with which everything else is refused.
 *
 *     (g, u) => (g / (1 + Math.exp(-g))) * u      is in the subset
 *     (x) => { let y = x; y++; return y }          is not: "a scalar function cannot contain `let`"
 *
 * The subset is closed: what is not named here is refused, and the refusal lists what is.
 */
import { ts } from "ts-morph"
import type { ScalarOperation } from "../../../dsl/attach.js"

const K = ts.SyntaxKind

/** Operators on two values; `operands` says what TypeScript itself does not insist on. */
export const binaryOperators: ReadonlyMap<
  ts.SyntaxKind,
  { readonly operation: ScalarOperation; readonly operands: "number" | "boolean" | "same" }
> = new Map([
  [K.PlusToken, { operation: "+", operands: "number" }],
  [K.MinusToken, { operation: "-", operands: "number" }],
  [K.AsteriskToken, { operation: "*", operands: "number" }],
  [K.SlashToken, { operation: "/", operands: "number" }],
  [K.PercentToken, { operation: "%", operands: "number" }],
  [K.AsteriskAsteriskToken, { operation: "pow", operands: "number" }],
  [K.LessThanToken, { operation: "<", operands: "number" }],
  [K.LessThanEqualsToken, { operation: "<=", operands: "number" }],
  [K.GreaterThanToken, { operation: ">", operands: "number" }],
  [K.GreaterThanEqualsToken, { operation: ">=", operands: "number" }],
  [K.EqualsEqualsEqualsToken, { operation: "===", operands: "same" }],
  [K.ExclamationEqualsEqualsToken, { operation: "!==", operands: "same" }],
  [K.AmpersandAmpersandToken, { operation: "&&", operands: "boolean" }],
  [K.BarBarToken, { operation: "||", operands: "boolean" }],
  [K.AmpersandToken, { operation: "&", operands: "number" }],
  [K.BarToken, { operation: "|", operands: "number" }],
  [K.CaretToken, { operation: "^", operands: "number" }],
  [K.LessThanLessThanToken, { operation: "<<", operands: "number" }],
  [K.GreaterThanGreaterThanToken, { operation: ">>", operands: "number" }],
  [K.GreaterThanGreaterThanGreaterThanToken, { operation: ">>>", operands: "number" }],
])

/** Operators on one value. Unary plus changes nothing and has no operation. */
export const unaryOperators: ReadonlyMap<
  ts.SyntaxKind,
  { readonly operation: ScalarOperation | undefined; readonly operand: "number" | "boolean" }
> = new Map([
  [K.MinusToken, { operation: "negate", operand: "number" }],
  [K.PlusToken, { operation: undefined, operand: "number" }],
  [K.TildeToken, { operation: "~", operand: "number" }],
  [K.ExclamationToken, { operation: "!", operand: "boolean" }],
])

/** True for `=` and its compound forms. */
export function isAssignment(kind: ts.SyntaxKind): boolean {
  return kind >= K.FirstAssignment && kind <= K.LastAssignment
}

/** The functions of `Math` that have a kernel form. `min` and `max` take two or more values and are lowered to pairs. */
export const mathFunctions = [
  "abs",
  "floor",
  "ceil",
  "round",
  "trunc",
  "sign",
  "sqrt",
  "exp",
  "log",
  "sin",
  "cos",
  "tanh",
  "pow",
  "min",
  "max",
  "imul",
] as const satisfies readonly ScalarOperation[]

/** Functions of `Number`, and the global ones, that are operations; `Math.fround` is `toF32`. */
export const numberFunctions: ReadonlyMap<string, ScalarOperation> = new Map([
  ["Number.isNaN", "isNaN"],
  ["isNaN", "isNaN"],
  ["Number.isFinite", "isFinite"],
  ["isFinite", "isFinite"],
  ["Number.isInteger", "isInteger"],
  ["Math.fround", "toF32"],
])

/** What to write in the place of other functions and constants of JavaScript. */
export const instead: ReadonlyMap<string, string> = new Map([
  ["Math.log2", "write `Math.log(x) * Math.LOG2E`"],
  ["Math.log10", "write `Math.log(x) * Math.LOG10E`"],
  ["Math.log1p", "write `Math.log(1 + x)`, which loses digits of small x"],
  ["Math.expm1", "write `Math.exp(x) - 1`, which loses digits near 0"],
  ["Math.hypot", "write `Math.sqrt(x * x + y * y)`, whose squares must be finite"],
  ["Math.cbrt", "write `Math.sign(x) * Math.abs(x) ** (1 / 3)`"],
  ["Math.tan", "write `Math.sin(x) / Math.cos(x)`"],
  ["Math.sinh", "write `(Math.exp(x) - Math.exp(-x)) / 2`, which loses digits near 0"],
  ["Math.cosh", "write `(Math.exp(x) + Math.exp(-x)) / 2`"],
  ["Math.random", "give random numbers as an input, or hash a position: `Math.imul(word ^ (word >>> 16), 0x7feb352d)`"],
  ["Number", "write toF32(x), toI32(x) or toU32(x)"],
  ["Boolean", "compare it, for example with `!== 0`"],
  ["parseInt", "write toI32(x) for the whole part"],
  ["BigInt", "integers have 32 bits: toI32(x), toU32(x)"],
  ["Number.isSafeInteger", "write `Number.isInteger(x)`"],
  ["Number.EPSILON", "that of f32 is 2 ** -23"],
  ["Number.MAX_VALUE", "that of f32 is 3.4028235e38"],
  ["Number.MIN_VALUE", "that of f32 is 2 ** -149; 2 ** -126 is the smallest normal one"],
  ["Number.MAX_SAFE_INTEGER", "integers are exact up to 2 ** 24 in f32, 2 ** 31 - 1 in i32, 2 ** 32 - 1 in u32"],
  ["Number.MIN_SAFE_INTEGER", "integers are exact down to -(2 ** 24) in f32, -(2 ** 31) in i32"],
])

/** Functions of the language whose first function is a scalar function, whatever its parameters. */
export const scalarTakers: ReadonlySet<string> = new Set(["map", "mapTo", "outer", "outerTo"])

/** The constants of `Math`, which become literals. */
export const mathConstants: ReadonlyMap<string, number> = new Map([
  ["E", Math.E],
  ["LN10", Math.LN10],
  ["LN2", Math.LN2],
  ["LOG10E", Math.LOG10E],
  ["LOG2E", Math.LOG2E],
  ["PI", Math.PI],
  ["SQRT1_2", Math.SQRT1_2],
  ["SQRT2", Math.SQRT2],
])

/** Numbers that are no decimals. */
export const specialNumbers: ReadonlyMap<string, number> = new Map([
  ["Infinity", Number.POSITIVE_INFINITY],
  ["NaN", Number.NaN],
  ["Number.POSITIVE_INFINITY", Number.POSITIVE_INFINITY],
  ["Number.NEGATIVE_INFINITY", Number.NEGATIVE_INFINITY],
  ["Number.NaN", Number.NaN],
])

/** Functions that the language itself exports and that are operations, not calls. */
export const languageFunctions = [
  "bits",
  "fromBits",
  "toF32",
  "toI32",
  "toU32",
] as const satisfies readonly ScalarOperation[]

export const hints = {
  subset: `a scalar function may contain numbers, Infinity, NaN, booleans, its parameters, + - * / % **, < <= > >= === !==, ?:, && || !, & | ^ ~ << >> >>>, Math.{${mathFunctions.join(" ")} fround}, Number.{isNaN isFinite isInteger}, const locals, if with returns, calls of other scalar functions, and captured const numbers and booleans`,
  math: `functions with a kernel form: ${mathFunctions.map((name) => `Math.${name}`).join(" ")}`,
  choose: "write `condition ? a : b`",
  local: "give each intermediate value its own `const`",
  loop: "a scalar function computes one element; loops over an axis are calls of the language",
  equality: "use `===` or `!==`",
  finite: "write `Infinity`, or the largest f32 number, 3.4028235e38",
  capture: "take the number into a `const` before the function and capture that",
  constant: "declare it with `const`, or copy it into a `const` before the function",
  argument: "pass it as an argument of the call and read it as a parameter",
  body: "end the function with `return` and one expression",
  branch: "end each branch with `return` and one expression, or write `condition ? a : b`",
  parameters: "write one plain name for each parameter",
  compare: "compare it, for example with `!== 0`",
  count: "write `condition ? 1 : 0`",
} as const

/** How a refusal names the syntax that it met, and what it advises. Other syntax is named by its kind. */
export const refusedSyntax: ReadonlyMap<ts.SyntaxKind, readonly [what: string, hint: string]> = new Map([
  [K.SwitchStatement, ["a `switch` statement", hints.choose]],
  [K.ForStatement, ["a `for` loop", hints.loop]],
  [K.ForOfStatement, ["a `for` loop", hints.loop]],
  [K.ForInStatement, ["a `for` loop", hints.loop]],
  [K.WhileStatement, ["a `while` loop", hints.loop]],
  [K.DoStatement, ["a `do` loop", hints.loop]],
  [K.ThrowStatement, ["a `throw` statement", hints.subset]],
  [K.TryStatement, ["a `try` statement", hints.subset]],
  [K.Block, ["a nested block", hints.local]],
  [K.FunctionDeclaration, ["a function", "declare it beside this one"]],
  [K.FunctionExpression, ["a function", "declare it beside this one"]],
  [K.ArrowFunction, ["a function", "declare it beside this one"]],
  [K.ReturnStatement, ["a `return` without a value", hints.body]],
  [K.ExpressionStatement, ["a statement that is no `const` or `return`", hints.local]],
  [K.StringLiteral, ["a string", hints.subset]],
  [K.NoSubstitutionTemplateLiteral, ["a template string", hints.subset]],
  [K.TemplateExpression, ["a template string", hints.subset]],
  [K.TaggedTemplateExpression, ["a template string", hints.subset]],
  [K.RegularExpressionLiteral, ["a regular expression", hints.subset]],
  [K.BigIntLiteral, ["a bigint", hints.subset]],
  [K.NullKeyword, ["`null`", hints.subset]],
  [K.ThisKeyword, ["`this`", hints.capture]],
  [K.ObjectLiteralExpression, ["an object literal", hints.subset]],
  [K.ArrayLiteralExpression, ["an array literal", hints.subset]],
  [K.ElementAccessExpression, ["an element access", hints.capture]],
  [K.NewExpression, ["`new`", hints.subset]],
  [K.AwaitExpression, ["`await`", hints.subset]],
  [K.YieldExpression, ["`yield`", hints.subset]],
  [K.TypeOfExpression, ["`typeof`", hints.subset]],
  [K.VoidExpression, ["`void`", hints.subset]],
  [K.DeleteExpression, ["`delete`", hints.subset]],
])
