import { Module, type DynamicModule, type MiddlewareConsumer, type NestModule } from '@nestjs/common';
import { AppModule } from '../app.module.js';
import { ImagingAccountsModule } from '../imaging/imaging-accounts.module.js';
import { ImagingController } from '../imaging/imaging.controller.js';
import { LabController } from '../lab/lab.controller.js';
import { CLINIC_ROUTES } from '../partners/partner-routes.js';
import type { Sandboxes } from '../partners/start-sandboxes.js';
import { PrescriptionsController } from '../prescriptions/prescriptions.controller.js';
import { TriageController } from '../triage/triage.controller.js';
import { ClinicViews } from './clinic-views.js';
import { ClinicsController } from './clinics.controller.js';
import { DemoController } from './demo.controller.js';
import { LiveController } from './live.controller.js';
import { LiveService } from './live.service.js';
import { PartnerCalls } from './partner-calls.js';
import { SANDBOXES } from './sandboxes.token.js';

/** The application and, around it, what the page at `/` needs: an application of your own has no use for that. */
@Module({
  imports: [AppModule, ImagingAccountsModule],
  controllers: [LiveController, ClinicsController, DemoController],
  providers: [LiveService, ClinicViews, PartnerCalls],
})
export class LiveModule implements NestModule {
  static with(sandboxes: Sandboxes): DynamicModule {
    return { module: LiveModule, providers: [{ provide: SANDBOXES, useValue: sandboxes }] };
  }

  constructor(private readonly calls: PartnerCalls) {}

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(this.calls.counter(() => 'buoy')).forRoutes(TriageController);
    consumer.apply(this.calls.counter(() => 'honeybee')).forRoutes(PrescriptionsController);
    consumer.apply(this.calls.counter(() => 'lab')).forRoutes(LabController);
    const clinicOf = (url: string) => CLINIC_ROUTES.find(({ path }) => path === url)?.clinic;
    consumer.apply(this.calls.counter(clinicOf)).forRoutes(ImagingController);
  }
}
