import type { NestExpressApplication } from '@nestjs/platform-express';

/** Serves the page at `/` as it lies in the package's folder, and the chart library beside it. */
export function servePage(app: NestExpressApplication): void {
  app.useStaticAssets('sample-app/page', {
    setHeaders: (response) => response.setHeader('Content-Security-Policy', "default-src 'self'"),
  });
  app.useStaticAssets('node_modules/uplot/dist', { prefix: '/uplot' });
}
