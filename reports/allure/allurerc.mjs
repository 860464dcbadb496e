// Allure 3 (the version that package.json pins) is run in the folder of the results; what mpwake wrote there,
// the categories, is read from there, so that it stands in one place.
import { existsSync, readFileSync } from "node:fs";

const categories = existsSync("categories.json") ? JSON.parse(readFileSync("categories.json", "utf8")) : [];

export default {
  name: "mpwake conformance report",
  categories,
};
