/**
 * The complete text of every refusal. In a case «…» marks the characters that the message has to point at; the place, the line and
 * the marks below it follow from that.
 */
import { join } from "node:path"
import { expect, test } from "vitest"
import { throwDiagnostics } from "../../compiler/frontend/diagnostics.js"
import { openProject, transformProject } from "../../compiler/frontend/project.js"
import { languageRoots, temporaryProject } from "./cases.js"

const subset =
  "a scalar function may contain numbers, Infinity, NaN, booleans, its parameters, + - * / % **, < <= > >= === !==, ?:, && || !, & | ^ ~ << >> >>>, Math.{abs floor ceil round trunc sign sqrt exp log sin cos tanh pow min max imul fround}, Number.{isNaN isFinite isInteger}, const locals, if with returns, calls of other scalar functions, and captured const numbers and booleans"
const math =
  "functions with a kernel form: Math.abs Math.floor Math.ceil Math.round Math.trunc Math.sign Math.sqrt Math.exp Math.log Math.sin Math.cos Math.tanh Math.pow Math.min Math.max Math.imul"
const local = "give each intermediate value its own `const`"
const choose = "write `condition ? a : b`"
const loop = "a scalar function computes one element; loops over an axis are calls of the language"
const before = "take the number into a `const` before the function and capture that"
const constant = "declare it with `const`, or copy it into a `const` before the function"
const finite = "write `Infinity`, or the largest f32 number, 3.4028235e38"
const cannot = "a scalar function cannot contain"
const names = "write one plain name for each parameter"
const body = "end the function with `return` and one expression"

const cases: readonly (readonly [code: string, message: string, hint: string])[] = [
  // statements
  ["map((v) => { «let y = v»; return y }, x)", `${cannot} \`let\``, local],
  ["map((v) => { «var y = v»; return y }, x)", `${cannot} \`var\``, local],
  [
    "map((v) => { if («v») return v; return 1 }, x)",
    "`if` takes a boolean; `v` is a number",
    "compare it, for example with `!== 0`",
  ],
  ["map((v): number => { if (v > 0) return v; «}», x)", "the block of a scalar function must end in `return`", body],
  [
    "map((v) => { if (v > 0) { return v; «const y = v» } return 1 }, x)",
    "a scalar function ends at its first `return`",
    body,
  ],
  ["map((v) => { «for (;;) {}» ; return v }, x)", `${cannot} a \`for\` loop`, loop],
  ["map((v) => { «while (v > 0) {}» return v }, x)", `${cannot} a \`while\` loop`, loop],
  ["map((v) => { «switch (v) { default: return v }» }, x)", `${cannot} a \`switch\` statement`, choose],
  ["map((v): number => { «throw new Error()» }, x)", `${cannot} a \`throw\` statement`, subset],
  ["map((v) => { const «[y]» = [v]; return y! }, x)", `${cannot} a destructuring pattern`, local],
  ["map((v) => { «v = 2»; return v }, x)", `${cannot} an assignment`, local],
  ["map((v) => { «v++»; return v }, x)", `${cannot} \`++\``, local],
  ["map((v) => { «v;» return v }, x)", `${cannot} a statement that is no \`const\` or \`return\``, local],
  ["map((v) => { return v; «const y = v» }, x)", "a scalar function ends at its first `return`", body],
  ["map((v): number => { const y = v «}», x)", "the block of a scalar function must end in `return`", body],
  ["map((v) => { «function g() {}» return v }, x)", `${cannot} a function`, "declare it beside this one"],
  // expressions
  ["map((v) => «--v», x)", `${cannot} \`--\``, local],
  ["map((v) => v «==» 0 ? 1 : v, x)", `${cannot} \`==\``, "use `===` or `!==`"],
  ["map((v) => v «!=» 0 ? 1 : v, x)", `${cannot} \`!=\``, "use `===` or `!==`"],
  ["map((v) => (v «,» 1), x)", `${cannot} \`,\``, subset],
  ["map((v) => v «??» 1, x)", `${cannot} \`??\``, subset],
  ["map((v) => «`v`».length, x)", `${cannot} a template string`, subset],
  ["map((v) => v > 0 ? v : «{ a: v }».a, x)", `${cannot} an object literal`, subset],
  ["map((v) => «[v]».length, x)", `${cannot} an array literal`, subset],
  ["map((v) => «'one'».length * v, x)", `${cannot} a string`, subset],
  ["map((v) => «/a/».lastIndex * v, x)", `${cannot} a regular expression`, subset],
  ["map((v) => «new Date().getTime»() * v, x)", "a scalar function can call functions by their name only", subset],
  ["function g(this: { a: number }) { return map((v) => v * «this».a, x) }", `${cannot} \`this\``, before],
  ["map((v): number => «Math.abs(v).MAX», x)", `${cannot} a property of a value`, before],
  [
    "map((v) => «Number»('1') + v, x)",
    "`Number` is not a scalar function: it has no body that can be read",
    "write toF32(x), toI32(x) or toU32(x)",
  ],
  ["map((v) => «[v, 1][0]»!, x)", `${cannot} an element access`, before],
  ["map((v) => «typeof v» === 'number' ? 1 : 0, x)", `${cannot} \`typeof\``, subset],
  ["map((v) => v + «config?.eps», x)", `${cannot} optional chaining`, before],
  ["map((v) => v + «config['eps']», x)", `${cannot} an element access`, before],
  ["map((v) => v + «v.constructor.length», x)", `${cannot} a property of a parameter or local`, subset],
  ["map((v) => v > 0 ? v : Math.max(«...list»), x)", `${cannot} a spread argument`, subset],
  ["map((v) => «1n» > 0 ? v : 1, x)", `${cannot} a bigint`, subset],
  ["map((v) => v * «undefined»!, x)", `${cannot} \`undefined\``, subset],
  ["map((v) => v === «null» ? 1 : v, x)", `${cannot} \`null\``, subset],
  // numbers
  ["map((v) => v + «1e400», x)", "`1e400` is infinite as an f32", finite],
  ["map((v) => v + «1e39», x)", "`1e39` is infinite as an f32", finite],
  [
    "map((v) => v + «Number.MAX_VALUE», x)",
    "`Number.MAX_VALUE` is a constant of float64, not of f32",
    "that of f32 is 3.4028235e38",
  ],
  // conversions that TypeScript lets pass
  ["map((v) => «v» && 1, x)", "`&&` takes a boolean; `v` is a number", "compare it, for example with `!== 0`"],
  ["map((v) => !«v», x)", "`!` takes a boolean; `v` is a number", "compare it, for example with `!== 0`"],
  ["map((v) => «v» ? 1 : 0, x)", "`?:` takes a boolean; `v` is a number", "compare it, for example with `!== 0`"],
  ["map((v) => -«(v > 0)», x)", "`-` takes a number; `(v > 0)` is a boolean", "write `condition ? 1 : 0`"],
  [
    "map((v) => «(v > 0)» < true ? 1 : 0, x)",
    "`<` takes a number; `(v > 0)` is a boolean",
    "write `condition ? 1 : 0`",
  ],
  [
    "map((v) => «v > 0 ? v : false», x)",
    "one branch of `?:` is a number, the other a boolean",
    "write `condition ? 1 : 0`",
  ],
  // calls
  [
    "map((v) => «Math.random»() * v, x)",
    "`Math.random` has no kernel form",
    "give random numbers as an input, or hash a position: `Math.imul(word ^ (word >>> 16), 0x7feb352d)`",
  ],
  ["map((v) => «Math.log2»(v), x)", "`Math.log2` has no kernel form", "write `Math.log(x) * Math.LOG2E`"],
  ["map((v) => «Math.clz32»(v), x)", "`Math.clz32` has no kernel form", math],
  ["map((v) => v * «Math.SQRT3», x)", "`Math.SQRT3` has no kernel form", math],
  [
    "map((v) => «parseFloat»('1') * v, x)",
    "`parseFloat` is not a scalar function: it has no body that can be read",
    subset,
  ],
  [
    "map((v) => { «console.log»(v); return v }, x)",
    "`console.log` is not a scalar function: it has no body that can be read",
    subset,
  ],
  ["map((v) => «exp»(v), x)", "`exp` is not a scalar function: it has no body that can be read", subset],
  ["map((v) => «words»(v).length, x)", "`words` is not a scalar function: its type is (v: number) => string", subset],
  [
    "map((v) => v * «total»(list), x)",
    "`total` is not a scalar function: its type is (values: readonly number[]) => number",
    subset,
  ],
  ["map((v) => «((w: number) => w)»(v), x)", "a scalar function can call functions by their name only", subset],
  [
    "map(function again(v: number): number { return «again»(v) }, x)",
    "`again` calls itself; a scalar function is inlined",
    loop,
  ],
  // captures
  [
    "map((v) => v * «changing», x)",
    "`changing` is declared with `let`; a scalar function may capture constants only",
    constant,
  ],
  ["map((v) => v * «old», x)", "`old` is declared with `var`; a scalar function may capture constants only", constant],
  [
    "map((v) => v * «other».eps, x)",
    "`other` is declared with `let`; a scalar function may capture constants only",
    constant,
  ],
  [
    "map((v) => v * «counter», x)",
    "`counter` is declared with `let`; a scalar function may capture constants only",
    constant,
  ],
  [
    "function g(n: number) { n += 1; return map((v) => v * «n», x) }",
    "`n` is a parameter that is assigned to; a scalar function may capture constants only",
    constant,
  ],
  [
    "map((v) => «word» === 'a' ? v : 1, x)",
    "`word` has type string; a scalar function may capture numbers and booleans only",
    before,
  ],
  [
    "map((v) => v + (+«list»), x)",
    "`list` has type readonly number[]; a scalar function may capture numbers and booleans only",
    before,
  ],
  [
    "map((v) => v + (+«config»), x)",
    "`config` has type { eps: number; }; a scalar function may capture numbers and booleans only",
    before,
  ],
  [
    "map((v) => v + (+«x»), x)",
    '`x` has type Tensor<"a", "f32">; a scalar function may capture numbers and booleans only',
    "pass it as an argument of the call and read it as a parameter",
  ],
  [
    "map((v) => v + (+«maybe»), x)",
    "`maybe` has type number | undefined; a scalar function may capture numbers and booleans only",
    before,
  ],
  // parameters
  ["map((«v = 1») => v, x)", "a parameter of a scalar function cannot have a default value", names],
  ["map((«...v») => 1, x)", "a parameter of a scalar function cannot be a rest parameter", names],
  ["map((«v?: number») => 1, x)", "a parameter of a scalar function cannot be optional", names],
  ["map((«{ toFixed }») => 1, x)", "a parameter of a scalar function cannot be destructured", names],
]

const preamble =
  'import { map, type Tensor } from "../language/index.js"; import { counter } from "../counter.js"; declare const x: Tensor<"a">, word: string, list: readonly number[], maybe: number | undefined; let changing = 1, other = { eps: 1 }; var old = 1; const config = { eps: 1 }, { exp } = Math; function words(v: number) { return String(v) } function total(values: readonly number[]) { return values.length }\n'
const plain = (code: string) => code.replace(/[«»]/g, "")
const files = Object.fromEntries(cases.map(([code], index) => [`cases/${index}.ts`, preamble + plain(code)]))
const folder = temporaryProject({
  ...files,
  "counter.ts": "export let counter = 1\n",
  "globals.d.ts": "declare const console: { log(...values: unknown[]): void }\n",
})
process.chdir(folder)
const { diagnostics } = transformProject(openProject(Object.keys(files), { languageRoots }))

function messageOf(file: string): string {
  try {
    throwDiagnostics(
      "scalar/function",
      diagnostics.filter(({ span }) => span?.file === join(folder, file)),
    )
  } catch (error) {
    return (error as Error).message
  }
  return "nothing was refused"
}

test.each(cases.map(([code, message, hint], index) => ({ code, message, hint, index })))("$code", (one) => {
  const file = `cases/${one.index}.ts`
  const start = one.code.indexOf("«")
  const marks = "~".repeat(one.code.indexOf("»") - start - 1)
  const frame = `2 | ${plain(one.code)}\n${" ".repeat(start + 4)}${marks}`
  expect(messageOf(file)).toBe(`${file}:2:${start + 1} - ${one.message}\n\n${frame}\n\nhint: ${one.hint}`)
})
