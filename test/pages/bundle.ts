/** `weft/runtime` as a page bundles it: for browsers, in chunks, from the sources. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { build, type Metafile } from "esbuild"
import type * as Runtime from "../../runtime/index.js"
import { root } from "../support/goldens.js"

/** As a page's script names it. */
export const runtime: string = JSON.stringify(join(root, "runtime", "index.ts"))

/** Writes the bundle of a script into a folder: NAME/NAME.js with its chunks. */
export async function bundled(folder: string, name: string, code: string): Promise<Metafile> {
  writeFileSync(join(folder, `${name}.ts`), code)
  const { metafile } = await build({
    entryPoints: { [name]: join(folder, `${name}.ts`) },
    outdir: join(folder, name),
    absWorkingDir: root,
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    platform: "browser",
    metafile: true,
  })
  return metafile
}

/** Everything that the runtime exports, out of its bundle. */
export async function bundledRuntime(folder: string): Promise<{ page: typeof Runtime; metafile: Metafile }> {
  const metafile = await bundled(folder, "page", `export * from ${runtime}`)
  const page = await import(/* @vite-ignore */ pathToFileURL(join(folder, "page", "page.js")).href)
  return { page, metafile }
}
