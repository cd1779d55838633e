/** Before each file: test files share a process, and some go to folders of their own. */
import { fileURLToPath } from "node:url"
import { calmDawn } from "./calm-dawn.js"

process.chdir(fileURLToPath(new URL("../..", import.meta.url)))
calmDawn()
