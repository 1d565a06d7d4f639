const shared = new URL("../../../shared/web/static/js/", import.meta.url);

export function resolve(specifier, context, next) {
  const found = specifier.startsWith("@shared/") ? new URL(specifier.slice("@shared/".length), shared).href : specifier;
  return next(found, context);
}
