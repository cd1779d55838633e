/** Numbers that steer schedules: each has a comment of its own, which says whether it was measured. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { ts } from "ts-morph"
import { expect, test } from "vitest"
import { root } from "../support/goldens.js"

/** The constants and fields that hold no further fields, each with the comment above it. */
function numbersOf(file: string): readonly { readonly name: string; readonly comment: string }[] {
  const text = readFileSync(join(root, file), "utf8")
  const found: { name: string; comment: string }[] = []
  const add = (node: ts.Node, name: string) => {
    const [comment] = (ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []).slice(-1)
    found.push({ name, comment: comment === undefined ? "" : text.slice(comment.pos, comment.end) })
  }
  const visit = (node: ts.Node): void => {
    const [declared] = ts.isVariableStatement(node) ? node.declarationList.declarations : []
    if (ts.isPropertyAssignment(node) && !ts.isObjectLiteralExpression(node.initializer)) add(node, node.name.getText())
    else if (declared !== undefined && !ts.isAsExpression(declared.initializer!)) add(node, declared.name.getText())
    else ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true))
  return found
}

test.each(["compiler/schedule/rules.ts", "compiler/schedule/products/rules.ts", "compiler/kernel/rules.ts"])(
  "each number of %s says whether it was measured",
  (file) => {
    const all = numbersOf(file)
    expect(all.length).toBeGreaterThan(10)
    const silent = all.filter(({ comment }) => !/not\s+measured|counted|figures|measured\s+on|lavapipe:/i.test(comment))
    expect(silent.map((n) => n.name)).toEqual([])
  },
)
