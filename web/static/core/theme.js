// Light and dark: as the system has it, or as a person chose.

const SWITCH = "clfd:theme";

export const theme = () => localStorage.getItem(SWITCH) ?? "system";

export function setTheme(name) {
  localStorage.setItem(SWITCH, name);
  apply();
}

export function apply() {
  const name = theme();
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}
