import { join } from "node:path"
import { expect, test } from "vitest"
import { openProject, transformProject } from "../../compiler/frontend/project.js"
import { languageRoots, temporaryProject } from "./cases.js"

/** Input → output; attachments are shortened to `{its captures}` or `refused`, spans to `line:column+length`. */
const cases: readonly (readonly [name: string, input: string, output: string])[] = [
  ["an arrow function", "const f = (v: number) => v * 2", "const f = __scalar((v: number) => v * 2, {})"],
  [
    "a function expression",
    "const f = function (v: number) { return v }",
    "const f = __scalar(function (v: number) { return v }, {})",
  ],
  [
    "captures",
    "const f = (v: number) => v * scale + config.eps",
    "const f = __scalar((v: number) => v * scale + config.eps, {scale, config.eps})",
  ],
  [
    "a call of another",
    "const f = (v: number) => g(v), g = (v: number) => -v",
    "const f = __scalar((v: number) => g(v), {g}), g = __scalar((v: number) => -v, {})",
  ],
  [
    "a declaration, before everything",
    "f(1); function f(v: number) { return v }",
    "__scalar(f, {});f(1); function f(v: number) { return v }",
  ],
  [
    "a declaration in a block",
    "function g() { 'use strict'; f(1); function f(v: number) { return v } }",
    "function g() { 'use strict'; __scalar(f, {});f(1); function f(v: number) { return v } }",
  ],
  [
    "a declaration before a call",
    "input('a'); function f(v: number) { return v }",
    "__scalar(f, {});__at(2:1+10, () => input('a')); function f(v: number) { return v }",
  ],
  [
    "a declaration in a switch",
    "switch (scale) { case 2: function f(v: number) { return v } }",
    "switch (scale) { case 2: function f(v: number) { return v };__scalar(f, {}); }",
  ],
  [
    "a default without a name",
    "export default function (v: number) { return v }",
    "export default __scalar(function (v: number) { return v }, {});",
  ],
  [
    "a default with a name",
    "export default function f(v: number) { return v }",
    "__scalar(f, {});export default function f(v: number) { return v }",
  ],
  [
    "not: other types",
    "const f = (v: string) => v.length, g = () => 1",
    "const f = (v: string) => v.length, g = () => 1",
  ],
  [
    "not: a method, an async function",
    "const o = { f(v: number) { return v }, g: async (v: number) => v }",
    "const o = { f(v: number) { return v }, g: async (v: number) => v }",
  ],
  [
    "not: what new calls",
    "new function (v: number): number { return v }",
    "new function (v: number): number { return v }",
  ],
  [
    "refused, as a helper of TypeScript",
    "const f = (v: number) => Number(v.toFixed(2))",
    "const f = __scalar((v: number) => Number(v.toFixed(2)), refused)",
  ],
  [
    "refused, with calls inside",
    "const f = (n: number) => { input('a'); return n }",
    "const f = __scalar((n: number) => { __at(2:28+10, () => input('a')); return n }, refused)",
  ],
  ["a call", "map((v) => v, x)", "__at(2:1+16, () => map(__scalar((v) => v, {}), x))"],
  [
    "nothing inside a scalar function",
    "map((v) => toF32(v > 0) + bits(v), x)",
    "__at(2:1+37, () => map(__scalar((v) => toF32(v > 0) + bits(v), {}), x))",
  ],
  [
    "a call in a call",
    'dot(map((v) => v, x), x, "a")',
    '__at(2:1+29, () => dot(__at(2:5+16, () => map(__scalar((v) => v, {}), x)), x, "a"))',
  ],
  [
    "a call over several lines",
    'dot(\n  map((v) => v, x),\n  x, "a")',
    '__at(2:1+4, () => dot(\n  __at(3:3+16, () => map(__scalar((v) => v, {}), x)),\n  x, "a"))',
  ],
  ["through a namespace", "language.input('a')", "__at(2:1+19, () => language.input('a'))"],
  ["one's own function that returns a tensor", "own(x)", "__at(2:1+6, () => own(x))"],
  ["not: one's own function that does not", "plain(x)", "plain(x)"],
  ["in an array", "[x].map((t) => own(t))", "[x].map((t) => __at(2:16+6, () => own(t)))"],
  ["a chain on the result", "input('a').dtype", "__at(2:1+10, () => input('a')).dtype"],
  ["an optional chain as a whole", "maybe?.make('a').dtype", "maybe?.make('a').dtype"],
  ["an optional call", "maybe?.make('a')", "__at(2:1+16, () => maybe?.make('a'))"],
  ["not: await", "async () => own(await later)", "async () => own(await later)"],
  [
    "not: yield",
    "function* g(): Generator<1, Tensor<'a'>, Tensor<'a'>> { return own(yield 1) }",
    "function* g(): Generator<1, Tensor<'a'>, Tensor<'a'>> { return own(yield 1) }",
  ],
  ["not: arguments", "function g() { return own(arguments[0]) }", "function g() { return own(arguments[0]) }"],
  [
    "this stays",
    "class C { x = x; f() { return own(this.x) } }",
    "class C { x = x; f() { return __at(2:31+11, () => own(this.x)) } }",
  ],
  ["tabs and other letters", "\t/* é💡 */ own(x)", "\t/* é💡 */ __at(2:12+6, () => own(x))"],
  ["a name that is taken", "const __at = own(x)", "const __at = __at1(2:14+6, () => own(x))"],
  [
    "a type is no call",
    "type T = ReturnType<typeof own>; type F = (v: number) => number",
    "type T = ReturnType<typeof own>; type F = (v: number) => number",
  ],
  [
    "annotations around the function",
    "map(((v) => v) as (v: number) => number, x)",
    "__at(2:1+43, () => map((__scalar((v) => v, {})) as (v: number) => number, x))",
  ],
]

const before =
  'import * as language from "../language/index.js"; import { bits, dot, input, map, type Tensor, toF32 } from "../language/index.js"; const scale = 2, config = { eps: 1 }; declare const x: Tensor<"a">, later: Promise<typeof x>, maybe: { make(a: string): typeof x } | undefined; function own(x: Tensor<"a">): Tensor<"a"> { return x } function plain(x: unknown) { return [x] }\n'

const folder = temporaryProject(
  Object.fromEntries(cases.map(([, input], index) => [`cases/${index}.ts`, before + input])),
)
const project = openProject(
  cases.map((_, index) => join(folder, "cases", `${index}.ts`)),
  { languageRoots },
)
const { texts } = transformProject(project)

function shortened(text: string): string {
  const span = /\{"file":"[^"]*","line":(\d+),"column":(\d+),"length":(\d+),"text":"(?:[^"\\]|\\.)*"\}/g
  return text
    .replace(span, "$1:$2+$3")
    .replace(/\{"kind":"refused",.*?"span":[\d:+]+\}/g, "refused")
    .replace(/\{"kind":"function",.*?"span":[\d:+]+,"captures":\(\) => \((.*?)\)\}/g, (_, captures: string) => {
      return `{${[...captures.matchAll(/"([^"]+)": \1/g)].map((match) => match[1]).join(", ")}}`
    })
}

test.each(cases.map(([name, input, output], index) => ({ name, input, output, index })))("$name", (one) => {
  const text = texts.get(join(folder, "cases", `${one.index}.ts`))?.text ?? before + one.input
  const [code, trailer] = text.split(/\n(?=import \{ __)/)
  expect(shortened(code!).replace(before, "")).toBe(one.output)
  if (one.input === one.output) expect(trailer).toBeUndefined()
  else expect(trailer).toMatch(/^import \{ __[\w ,]+ \} from "\.\.\/language\/attach\.js"\n$/)
})
