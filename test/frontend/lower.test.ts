import { join } from "node:path"
import { ts } from "ts-morph"
import { expect, test } from "vitest"
import { openProject } from "../../compiler/frontend/project.js"
import { lower } from "../../compiler/frontend/scalars/lower.js"
import { isScalarFunction, type ScalarFunctionNode } from "../../compiler/frontend/scalars/scalars.js"
import { languageRoots, printed, temporaryProject } from "./cases.js"

const before = `import * as language from "../language/index.js"
import { bits, toF32 as float } from "../language/index.js"
import * as curves from "../curves.js"
import { curve } from "../curves.js"
import { curve as bent } from "../curves.js"
const scale = 2, gated = true, { eps } = { eps: 1e-6 }
const config = { eps: 1e-6, inner: { limit: 6 as number }, act: (x: number) => x * 2 }
const limit = config.inner.limit as number | undefined, list = [1, 2]
const fn = `

const cases: readonly (readonly [code: string, expected: string])[] = [
  ["(g: number, u: number) => (g / (1 + Math.exp(-g))) * u", "(* (/ $0 (+ 1 (exp (negate $0)))) $1)"],
  ["function (x: number) { return x }", "$0"],
  ["(x: number) => x + 0xff + 1e3 + 1_000 + 0b11 + 0o17 + .5", "(+ (+ (+ (+ (+ (+ $0 255) 1000) 1000) 3) 15) 0.5)"],
  ["(x: number) => x & 0xffffffff", "(& $0 4294967295)"],
  ["(x: number) => x * 3.4028235e38", "(* $0 3.4028235e+38)"],
  ["(x: number) => (x < Infinity ? x : -Infinity) + NaN", "(+ (select (< $0 Infinity) $0 (negate Infinity)) NaN)"],
  ["(x: number) => Math.max() + Math.min() - Number.NEGATIVE_INFINITY", "(- (+ -Infinity Infinity) -Infinity)"],
  ["(x: number) => x - x * x / x % x", "(- $0 (% (/ (* $0 $0) $0) $0))"],
  ["(x: number) => -x + +x", "(+ (negate $0) $0)"],
  ["(x: number) => x ** 2", "(pow $0 2)"],
  ["(x: number, y: number) => x < y", "(< $0 $1)"],
  ["(x: number, y: number) => x <= y ? x : y", "(select (<= $0 $1) $0 $1)"],
  ["(x: number, y: number) => x >= y || x > 3 && y !== 1", "(|| (>= $0 $1) (&& (> $0 3) (!== $1 1)))"],
  ["(a: boolean, b: boolean) => !a === b", "(=== (! $0) $1)"],
  ["(a: boolean) => a ? true : false", "(select $0 true false)"],
  ["(x: number) => (x & 15 | x ^ 3) << 2 >> 1 >>> ~x", "(>>> (>> (<< (| (& $0 15) (^ $0 3)) 2) 1) (~ $0))"],
  ["(x: number) => Math.floor(Math.abs(x)) + Math.ceil(x)", "(+ (floor (abs $0)) (ceil $0))"],
  ["(x: number) => Math.round(x) + Math.trunc(x) + Math.sign(x)", "(+ (+ (round $0) (trunc $0)) (sign $0))"],
  ["(x: number) => Math.sqrt(x) + Math.log(x) + Math.tanh(x)", "(+ (+ (sqrt $0) (log $0)) (tanh $0))"],
  ["(x: number) => Math.sin(x) + Math.cos(x)", "(+ (sin $0) (cos $0))"],
  ["(x: number) => Math.pow(x, 3) + Math.imul(x, 5)", "(+ (pow $0 3) (imul $0 5))"],
  ["(x: number, y: number) => Math.max(x, y, 0) + Math.min(x, 6)", "(+ (max (max $0 $1) 0) (min $0 6))"],
  ["(x: number) => x * Math.PI", "(* $0 3.141592653589793)"],
  ["(x: number) => x * Math.LN2", "(* $0 0.6931471805599453)"],
  ["(x: number) => { const y = x * 2, z = y + 1; const w = z * y; return w }", "(* $0 2); (+ %0 1); (* %1 %0); %2"],
  ["(x: number) => { const y: number = x; return y as number }", "$0; %0"],
  ["(x: number) => (x satisfies number)! + (<number>x)", "(+ $0 $0)"],
  ["(x: number) => x * scale", "(* $0 {scale})"],
  ["(x: number) => x + eps", "(+ $0 {eps})"],
  ["(x: number) => gated ? x : 0", "(select {gated} $0 0)"],
  ["(x: number) => x + config.eps", "(+ $0 {config.eps})"],
  ["(x: number) => x + config.inner.limit", "(+ $0 {config.inner.limit})"],
  ["(x: number) => x + limit! + list.length", "(+ (+ $0 {limit}) {list.length})"],
  ["(x: number) => x * curves.slope", "(* $0 {curves.slope})"],
  ["(x: number) => curve(x + 1)", "(call curve (+ $0 1))"],
  ["(x: number) => bent(x)", "(call bent $0)"],
  ["(x: number) => curves.clamp(x, 6)", "(call curves.clamp $0 6)"],
  ["(x: number) => config.act(x)", "(call config.act $0)"],
  ["(x: number) => bits(x) & 255", "(& (bits $0) 255)"],
  ["(x: number) => float(x > 0)", "(toF32 (> $0 0))"],
  ["(x: number) => language.toF32(x)", "(toF32 $0)"],
  ["(x: number) => { const scale = x; return scale }", "$0; %0"],
  ["(x: number) => { if (x > 0) return x; return 1 }", "(select (> $0 0) $0 1)"],
  ["(x: number) => { if (x > 0) { const y = x * 2; return y } else return x }", "(* $0 2); (select (> $0 0) %0 $0)"],
  [
    "(x: number) => { if (x > 0) { if (x > 1) return 1 } else return 2; const y = x; return y }",
    "$0; (select (> $0 0) (select (> $0 1) 1 %0) 2)",
  ],
  [
    "(x: number) => Math.fround(x) + (Number.isNaN(x) || !isFinite(x) ? 1 : 0)",
    "(+ (toF32 $0) (select (|| (isNaN $0) (! (isFinite $0))) 1 0))",
  ],
  ["((f: (x: number) => number, by: number) => (x: number) => f(x) + by)", "(+ (call f $0) {by})"],
  ["(<N extends number>(by: N) => (x: number) => x + by)", "(+ $0 {by})"],
]

const terms = Array.from({ length: 60 }, (_, i) => `x * ${i}.5`).join(" + ")
const branches = Array.from({ length: 60 }, (_, i) => `x > ${i} ? ${i} : `).join("")
const long = `(x: number) => (${terms}) + (${branches}x)`

const folder = temporaryProject({
  "long.ts": `export const fn = ${long}\n`,
  "curves.ts":
    "export const slope = 0.5\nexport function curve(x: number) { return x * slope }\nexport const clamp = (x: number, to: number) => x > to ? to : x\n",
  ...Object.fromEntries(cases.map(([code], index) => [`cases/${index}.ts`, `${before}${code}\nexport { fn }\n`])),
})
const { language } = openProject(
  [join(folder, "long.ts"), ...cases.map((_, index) => join(folder, "cases", `${index}.ts`))],
  { languageRoots },
)

/** The scalar function of a case: the last one, innermost. */
function functionOf(index: number, file = join("cases", `${index}.ts`)): ScalarFunctionNode {
  const source = language.program.getSourceFile(join(folder, file))!
  let found: ScalarFunctionNode | undefined
  const visit = (node: ts.Node): void => {
    if (isScalarFunction(node, language.checker)) found = node
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found!
}

test.each(cases.map(([code, expected], index) => ({ code, expected, index })))("$code", ({ expected, index }) => {
  const lowered = lower(functionOf(index), language)
  if (lowered.kind === "refused") throw lowered.refusal
  expect([...lowered.locals, lowered.result].map(printed).join("; ")).toBe(expected)
})

test("every node has its exact place", () => {
  const lowered = lower(functionOf(0), language)
  if (lowered.kind === "refused" || lowered.result.kind !== "operation") throw new Error("not an operation")
  const [quotient, u] = lowered.result.args
  expect(lowered.result.span).toEqual([9, 38, 28])
  expect(quotient?.span).toEqual([9, 39, 22])
  expect(u?.span).toEqual([9, 65, 1])
  expect(lowered.parameters).toEqual(["g", "u"])
})

test("a name is captured once", () => {
  const index = cases.findIndex(([code]) => code.includes("f(x) + by"))
  expect(lower(functionOf(index), language)).toMatchObject({ captures: ["f", "by"] })
})

test("the checker is asked for the types of names and numbers, not for those of sums: it would check each term once for each after it", () => {
  let nodes = 0
  const checker = new Proxy(language.checker, {
    get(target, key) {
      if (key !== "getTypeAtLocation") return Reflect.get(target, key)
      return (node: ts.Node) => {
        const count = (n: ts.Node): void => {
          nodes++
          ts.forEachChild(n, count)
        }
        count(node)
        return target.getTypeAtLocation(node)
      }
    },
  })
  const lowered = lower(functionOf(0, "long.ts"), { ...language, checker })
  expect(lowered.kind).toBe("function")
  expect(nodes).toBeLessThan(8 * 60)
})
