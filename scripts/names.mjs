// Makes mask/names.txt.gz and mask/places.txt.gz from the lists in @faker-js/faker
// (MIT):
//
//   npm install --no-save @faker-js/faker@10.6.0 && node scripts/names.mjs mask
//
// Lower case, accents off, one a line, sorted. mask/dictionary.go folds what it looks
// up in the same way, and mask/dictionary_test.go checks that.
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { allLocales } from "@faker-js/faker";

const notNames = new Set(["en_BORK", "en_AU_ocker", "base"]);
const ligatures = { ß: "ss", æ: "ae", œ: "oe", þ: "th", ø: "o", ł: "l", đ: "d", ð: "d", ı: "i", ə: "e" };

function flat(v) {
  if (typeof v === "string") return [v];
  if (Array.isArray(v)) return v.flatMap(flat);
  return v && typeof v === "object" ? Object.values(v).flatMap(flat) : [];
}

function fold(word) {
  let out = "";
  for (const c of word.toLowerCase()) {
    out += /\p{Script=Hangul}/u.test(c) ? c : c.normalize("NFD").replace(/\p{M}/gu, "");
  }
  return out.replace(/[ßæœþøłđðıə]/g, (c) => ligatures[c]).replace(/['’`ʻ.ـ]/gu, "");
}

const names = new Set();
const places = new Set();
for (const [locale, data] of Object.entries(allLocales)) {
  if (notNames.has(locale)) continue;
  for (const name of [...flat(data.person?.first_name), ...flat(data.person?.last_name)]) {
    for (const part of name.split(/[\s\-‐]+/u)) {
      const word = fold(part);
      const letters = [...word].length;
      const eastern = /[\p{Script=Han}\p{Script=Hangul}]/u.test(word);
      if (/^\p{L}+$/u.test(word) && (letters >= 2 || eastern) && letters <= 24) names.add(word);
    }
  }
  const where = data.location ?? {};
  for (const place of [where.city_name, where.country, where.state, where.county].flatMap(flat)) {
    if (!/[\n{}]/.test(place)) places.add(fold(place.trim()));
  }
}
places.delete("");
for (const [file, set] of [["names", names], ["places", places]]) {
  const sorted = [...set].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  writeFileSync(`${process.argv[2]}/${file}.txt.gz`, gzipSync(sorted.join("\n") + "\n", { level: 9 }));
  console.log(`${sorted.length} ${file}`);
}
