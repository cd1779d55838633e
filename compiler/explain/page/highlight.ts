/**
 * TypeScript source as lines of markup: comments, strings, numbers and keywords are told apart, everything is escaped.
 *
 *     const x = 1 // one     →     <i class="word">const</i> x = <i class="number">1</i> <i class="comment">// one</i>
 *
 * A few patterns, not a parser: a wrong colour is the worst that can happen.
 */
import { html, type Markup } from "./html.js"

const keywords =
  "as async await break case catch const continue default do else export extends false finally for from function if import in interface let new null of readonly return satisfies switch throw true try type typeof undefined while"
const tokens = new RegExp(
  [
    /(?<comment>\/\*[\s\S]*?(?:\*\/|$)|\/\/[^\n]*)/.source,
    /(?<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)/.source,
    `(?<word>\\b(?:${keywords.replaceAll(" ", "|")})\\b)`,
    /(?<number>\b\d[\w.]*)/.source,
  ].join("|"),
  "g",
)

export function highlight(source: string): readonly Markup[] {
  const lines: Markup[][] = [[]]
  const put = (text: string, kind: string | undefined) => {
    for (const [i, part] of text.split(/\r?\n/).entries()) {
      if (i > 0) lines.push([])
      if (part !== "") lines.at(-1)!.push(kind === undefined ? html`${part}` : html`<i class="${kind}">${part}</i>`)
    }
  }
  let at = 0
  for (const match of source.matchAll(tokens)) {
    put(source.slice(at, match.index), undefined)
    put(match[0], Object.entries(match.groups!).find(([, found]) => found !== undefined)?.[0])
    at = match.index + match[0].length
  }
  put(source.slice(at), undefined)
  return lines.map((line) => html`${line}`)
}
