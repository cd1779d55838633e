/** `npm start`: builds what is not there yet, then is the command line. */
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { buildBundles, root } from "./build.mjs"

await buildBundles((line) => process.stderr.write(`weft: ${line}\n`))
await import(pathToFileURL(join(root, "dist", "cli.js")).href)
