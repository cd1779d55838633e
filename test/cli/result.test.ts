/** Whether a result can be written is known before it is computed, and missing folders are made. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { commandNames, flagsOf } from "../../cli/commands.js"
import { writablePath, writeResult } from "../../cli/result.js"
import { weftHere } from "./run.js"

const folder = mkdtempSync(join(tmpdir(), "weft-result-"))
mkdirSync(join(folder, "there"))
writeFileSync(join(folder, "file"), "")

describe("a file that cannot be written", () => {
  const writing = commandNames.filter((name) => flagsOf(name).includes("out"))

  test.each(writing)("is refused by %s before anything is read or computed", async (name) => {
    const { code, stderr } = await weftHere([name, "--out", join(folder, "file", "page")])
    expect(code).toBe(1)
    expect(stderr).toContain(`page" cannot be written: ${JSON.stringify(join(folder, "file"))} is no folder`)
  })

  test("is told for each command that writes one", () => expect(writing).toEqual(expect.arrayContaining(["logits"])))

  test.each([
    ["", "it is no path"],
    [folder, "it names a folder"],
    [`${folder}/new/`, "it names a folder"],
    [join(folder, "file", "a", "b"), "is no folder"],
  ])("%s: %s", (path, why) => {
    expect(() => writablePath(path)).toThrow(why)
  })
})

test("missing folders are made when there is something to put there, and not before", async () => {
  const path = join(folder, "new", "deep", "page.html")
  expect(writablePath(path)).toBe(path)
  expect(existsSync(join(folder, "new"))).toBe(false)
  await writeResult(path, "a page")
  expect(readFileSync(path, "utf8")).toBe("a page")
  expect(writablePath(path)).toBe(path)
  await expect(writeResult(join(folder, "there"), "")).rejects.toMatchObject({ code: "cli/out" })
})
